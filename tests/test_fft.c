/* The backend's 2-D Fourier transforms against direct sums in float64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "graph/graph.h"
#include "ops/check/check.h"
#include "ops/ops.h"
#include "support/on_device.h"

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  assert_non_null(memory);
  return memory;
}

/* y[f] = sum over k of x[k] exp(-+ 2 pi i f k / n), for n complex numbers `stride` apart. */
static void transform_line(double *x, int64_t n, int64_t stride, bool inverse) {
  double *y = allocate((size_t)n, 2 * sizeof *y), *turn = allocate((size_t)n, 2 * sizeof *turn);
  for (int64_t k = 0; k < n; k++) {
    double angle = (inverse ? 2 : -2) * M_PI * (double)k / (double)n;
    turn[2 * k] = cos(angle);
    turn[2 * k + 1] = sin(angle);
  }
  for (int64_t f = 0; f < n; f++)
    for (int64_t k = 0; k < n; k++) {
      const double *w = turn + 2 * (f * k % n), *v = x + 2 * k * stride;
      y[2 * f] += w[0] * v[0] - w[1] * v[1];
      y[2 * f + 1] += w[0] * v[1] + w[1] * v[0];
    }
  for (int64_t f = 0; f < n; f++) memcpy(x + 2 * f * stride, y + 2 * f, 2 * sizeof *y);
  free(y);
  free(turn);
}

static void transform(double *x, const gh_fft_desc *desc) {
  for (int64_t b = 0; b < desc->batch; b++) {
    double *matrix = x + 2 * b * desc->rows * desc->columns;
    for (int64_t r = 0; r < desc->rows; r++)
      transform_line(matrix + 2 * r * desc->columns, desc->columns, 1, desc->inverse);
    for (int64_t c = 0; c < desc->columns; c++)
      transform_line(matrix + 2 * c, desc->rows, desc->columns, desc->inverse);
  }
}

static float *random_numbers(int64_t n) {
  float *x = allocate((size_t)n, sizeof *x);
  uint32_t state = 12345;
  for (int64_t i = 0; i < n; i++) x[i] = (float)((state = state * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1.0f;
  return x;
}

static double relative_error(const float *x, const double *want, int64_t n) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < n; i++) {
    difference += ((double)x[i] - want[i]) * ((double)x[i] - want[i]);
    norm += want[i] * want[i];
  }
  return sqrt(difference / norm);
}

#define TOLERANCE 1e-6 /* a float32 transform's error grows with the logarithm of its size */

/* Whether the device has a library: drivers with unsuitable compilers have none, and the op uses its own kernels. */
static bool has_library(void) {
  const gh_fft_desc smallest = {.batch = 1, .rows = 1, .columns = 2};
  gh_buffer *buffer;
  gh_launch *launch = NULL;
  OK(device->backend->buffer_create(&err, device, 16, &buffer));
  gh_status status = device->backend->bind_fft(&err, device, &smallest, buffer, buffer, &launch);
  assert_true(status == GH_OK || status == GH_ERROR_UNSUPPORTED);
  if (launch) device->backend->launch_free(launch);
  device->backend->buffer_free(buffer);
  return !status;
}

static void check_transform(gh_device *d, gh_fft_desc desc, bool in_place) {
  const gh_backend *backend = d->backend;
  int64_t n = 2 * desc.batch * desc.rows * desc.columns;
  float *x = random_numbers(n), *y = allocate((size_t)n, sizeof *y);
  double *want = allocate((size_t)n, sizeof *want);
  for (int64_t i = 0; i < n; i++) want[i] = (double)x[i];
  transform(want, &desc);
  gh_buffer *from, *to;
  gh_launch *launch;
  OK(backend->buffer_create(&err, d, 4 * n, &from));
  OK(backend->buffer_create(&err, d, 4 * n, &to));
  OK(backend->bind_fft(&err, d, &desc, from, in_place ? from : to, &launch));
  int64_t allocations = d->counters.allocations, compilations = d->counters.compilations;
  for (int again = 0; again < 2; again++) {
    OK(backend->write(&err, d, from, 0, x, 4 * n));
    OK(backend->enqueue(&err, d, launch));
    OK(backend->read(&err, d, in_place ? from : to, 0, y, 4 * n));
    double error = relative_error(y, want, n);
    if (!(error <= TOLERANCE))
      fail_msg("%lld of %lld x %lld%s%s: error %g", (long long)desc.batch, (long long)desc.rows,
               (long long)desc.columns, desc.inverse ? ", inverse" : "", in_place ? ", in place" : "", error);
  }
  if (!in_place) { /* the input is unchanged */
    OK(backend->read(&err, d, from, 0, y, 4 * n));
    assert_memory_equal(x, y, (size_t)n * 4);
  }
  assert_int_equal(d->counters.allocations, allocations);
  assert_int_equal(d->counters.compilations, compilations);
  backend->launch_free(launch);
  backend->buffer_free(from);
  backend->buffer_free(to);
  free(x);
  free(y);
  free(want);
}

static void test_against_the_sums(void **state) {
  (void)state;
  if (!has_library()) return;
  static const int64_t sizes[][3] = {{1, 1, 1},    {2, 5, 1},     {3, 11, 13},  {2, 27, 32},
                                     {1, 36, 378}, {1, 224, 224}, {1, 5, 4096}, {1, 3, 8192}};
  for (size_t i = 0; i < GH_COUNT(sizes); i++) /* each in one of the four forms: compilation dominates the time */
    check_transform(
        device, (gh_fft_desc){.batch = sizes[i][0], .rows = sizes[i][1], .columns = sizes[i][2], .inverse = i / 2 % 2},
        i % 2);
}

static void test_views_are_transformed_in_place(void **state) {
  (void)state;
  if (!has_library()) return;
  const gh_backend *backend = device->backend;
  int64_t step = device->info.alignment_bytes, n = step / 4;
  const gh_fft_desc desc = {.batch = 1, .rows = 1, .columns = n / 2};
  gh_buffer *all, *from, *to;
  gh_launch *launch;
  float *x = random_numbers(4 * n), *y = allocate((size_t)(4 * n), sizeof *y);
  double *want = allocate((size_t)n, sizeof *want);
  for (int64_t i = 0; i < n; i++) want[i] = (double)x[n + i];
  transform(want, &desc);
  OK(backend->buffer_create(&err, device, 4 * step, &all));
  OK(backend->write(&err, device, all, 0, x, 4 * step));
  OK(backend->buffer_view(&err, device, all, step, step, &from));
  OK(backend->buffer_view(&err, device, all, 2 * step, step, &to));
  OK(backend->bind_fft(&err, device, &desc, from, to, &launch));
  OK(backend->enqueue(&err, device, launch));
  OK(backend->read(&err, device, all, 0, y, 4 * step));
  assert_memory_equal(x, y, (size_t)(8 * n));
  assert_memory_equal(x + 3 * n, y + 3 * n, (size_t)(4 * n));
  double error = relative_error(y + 2 * n, want, n);
  if (!(error <= TOLERANCE)) fail_msg("error %g", error);
  backend->launch_free(launch);
  backend->buffer_free(from);
  backend->buffer_free(to);
  backend->buffer_free(all);
  free(x);
  free(y);
  free(want);
}

/* The library is set up once per process, and torn down with the last device. */
static void test_devices_come_and_go(void **state) {
  (void)state;
  if (!has_library()) return;
  const gh_fft_desc desc = {.batch = 2, .rows = 6, .columns = 10};
  for (int round = 0; round < 2; round++) {
    gh_device *a, *b;
    OK(gh_device_open(&err, device->info.id, &a));
    OK(gh_device_open(&err, device->info.id, &b));
    check_transform(a, desc, false);
    check_transform(b, desc, true);
    gh_device_close(a);
    check_transform(b, desc, false);
    gh_device_close(b);
  }
  check_transform(device, desc, true);
}

static void test_rejections(void **state) {
  (void)state;
  if (!has_library()) return;
  const gh_backend *backend = device->backend;
  gh_buffer *small;
  gh_launch *launch;
  OK(backend->buffer_create(&err, device, 4096, &small));
  const gh_fft_desc none = {.batch = 0, .rows = 2, .columns = 2}, large = {.batch = 3, .rows = 16, .columns = 16};
  assert_int_equal(backend->bind_fft(&err, device, &none, small, small, &launch), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->bind_fft(&err, device, &large, small, small, &launch), GH_ERROR_ARGUMENT);
  assert_null(launch);
  if (!strcmp(backend->name, "opencl")) { /* other libraries may support every size */
    const gh_fft_desc prime = {.batch = 1, .rows = 2, .columns = 34};
    assert_int_equal(backend->bind_fft(&err, device, &prime, small, small, &launch), GH_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "2 x 34"));
  }
  backend->buffer_free(small);
}

/* Every case of the op, and a larger prime, without the library. */
static void on_result(void *context, const gh_check_result *result) {
  int *counts = context;
  counts[0]++;
  if (result->passed) return;
  counts[1]++;
  fprintf(stderr, "%s / %s: error %g, tolerance %g %s\n", result->test, result->tensor, result->error,
          result->tolerance, result->note);
}

static void check_own(const char *shape) {
  gh_device *d;
  gh_safetensors *file;
  char id[64];
  int counts[2] = {0};
  snprintf(id, sizeof id, "auto/%s", shape);
  gh_status status = gh_device_open(&err, id, &d);
  if (status == GH_ERROR_UNSUPPORTED) return; /* a device with one shape only */
  OK(status);
  OK(gh_safetensors_open(&err, &file, GH_FIXTURES "/ops/fft2d.safetensors"));
  const gh_check_listener listener = {.context = counts, .result = on_result};
  OK(gh_check_file(&err, d, file, (gh_check_options){0}, &listener));
  gh_safetensors_close(file);
  gh_device_close(d);
  assert_true(counts[0] > 40);
  assert_int_equal(counts[1], 0);
}

static void check_own_size(int64_t rows, int64_t columns, bool inverse) {
  const gh_fft_desc desc = {.batch = 2, .rows = rows, .columns = columns, .inverse = inverse};
  const int64_t shape[] = {2, rows, columns, 2}, n = 4 * rows * columns;
  gh_store *store;
  gh_graph *g;
  gh_tensor *x;
  float *values = random_numbers(n);
  double *want = allocate((size_t)n, sizeof *want);
  for (int64_t i = 0; i < n; i++) want[i] = (double)values[i];
  transform(want, &desc);
  OK(gh_store_create(&err, device, &store));
  OK(gh_store_add(&err, store, "x", GH_F32, 4, shape, &x));
  OK(gh_tensor_write(&err, device, x, values));
  OK(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_fft2d(g, x, inverse);
  gh_graph_keep(g, y);
  OK(gh_graph_plan(&err, g));
  OK(gh_graph_run(&err, g));
  OK(gh_tensor_read(&err, device, y, values));
  double error = relative_error(values, want, n);
  if (!(error <= TOLERANCE)) fail_msg("%lld x %lld: error %g", (long long)rows, (long long)columns, error);
  gh_graph_free(g);
  gh_store_free(store);
  free(values);
  free(want);
}

static void test_our_own_kernels(void **state) {
  (void)state;
  setenv("GH_FFT", "own", 1);
  check_own("cpu");
  check_own("gpu");
  check_own_size(224, 224, false);
  check_own_size(3, 1009, true);
  check_own_size(8192, 1, false);
  check_own_size(2 * 17 * 19, 5, true);
  unsetenv("GH_FFT");
  check_own_size(6, 62, false); /* even if the library rejects it */
}

static void test_the_op_rejects_gradients(void **state) {
  (void)state;
  gh_store *store;
  gh_graph *g;
  gh_tensor *x, *scalar;
  OK(gh_store_create(&err, device, &store));
  OK(gh_store_add(&err, store, "x", GH_F32, 3, (int64_t[]){2, 3, 2}, &x));
  OK(gh_store_add(&err, store, "dy", GH_F32, 3, (int64_t[]){2, 3, 2}, &scalar));
  OK(gh_store_make_trainable(&err, store, x));
  OK(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_fft2d(g, x, false);
  assert_int_not_equal(gh_graph_differentiate_from(g, &y, &scalar, 1), GH_OK);
  assert_int_not_equal(gh_graph_plan(&err, g), GH_OK);
  assert_non_null(strstr(err.text, "fft2d"));
  assert_non_null(strstr(err.text, "gradient"));
  gh_graph_free(g);
  gh_store_free(store);
}

static void test_the_op_needs_pairs(void **state) {
  (void)state;
  gh_store *store;
  gh_graph *g;
  gh_tensor *x;
  OK(gh_store_create(&err, device, &store));
  OK(gh_store_add(&err, store, "x", GH_F32, 3, (int64_t[]){2, 3, 4}, &x));
  OK(gh_graph_create(&err, device, &g));
  assert_null(gh_fft2d(g, x, false));
  assert_int_not_equal(gh_graph_plan(&err, g), GH_OK);
  assert_non_null(strstr(err.text, "fft2d"));
  gh_graph_free(g);
  gh_store_free(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_the_sums),         cmocka_unit_test(test_views_are_transformed_in_place),
      cmocka_unit_test(test_devices_come_and_go),      cmocka_unit_test(test_rejections),
      cmocka_unit_test(test_our_own_kernels),          cmocka_unit_test(test_the_op_needs_pairs),
      cmocka_unit_test(test_the_op_rejects_gradients),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
