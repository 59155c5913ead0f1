/* The device backend: buffers, views, transfers, bound commands and their errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/built_in.h"
#include "backend/core/limits.h"
#include "backend/core/program.h"
#include "backend/opencl/quirks.h"
#include "backend/registry.h"
#include "base/text.h"
#include "support/check.h"
#include "support/on_device.h"

static void run(gh_launch *launch) {
  OK(device->backend->enqueue(&err, device, launch));
  device->backend->launch_free(launch);
}

static void check_floats(const gh_buffer *buffer, int64_t first, const float *want, int count) {
  float got[4096];
  OK(device->backend->read(&err, device, buffer, first * 4, got, count * 4));
  for (int i = 0; i < count; i++)
    if (!(got[i] == want[i])) fail_msg("element %d is %g, not %g", i, (double)got[i], (double)want[i]);
}

static bool is_cuda(void) { return !strcmp(device->backend->name, "cuda"); }

static void test_info(void **state) {
  (void)state;
  const gh_device_info *info = &device->info;
  assert_true(info->name[0] && info->platform[0] && info->driver[0]);
  assert_true(info->memory_bytes > 0 && info->max_buffer_bytes > 0 && info->max_buffer_bytes <= info->memory_bytes);
  assert_true(info->alignment_bytes >= 512 && !(info->alignment_bytes & (info->alignment_bytes - 1)));
  assert_true(info->max_group >= 1 && info->compute_units >= 1);
  gh_device_info list[8];
  char notes[256];
  assert_true(gh_device_list(list, 8, notes, sizeof notes) >= 1);
  const char *library = device->backend->library_name(device);
  bool expected = is_cuda() || gh_built_ins[0].present; /* CLBlast */
  assert_int_equal(library != NULL, expected);
  if (expected) assert_true(strstr(library, is_cuda() ? "cuBLASLt " : "CLBlast ") != NULL);
}

static void test_unknown_device_lists_those_that_exist(void **state) {
  (void)state;
  gh_device *none;
  assert_int_equal(gh_device_open(&err, "opencl:97", &none), GH_ERROR_ARGUMENT);
  assert_null(none);
  assert_non_null(strstr(err.text, "opencl:97"));
  assert_non_null(strstr(err.text, device->info.id));
}

static void test_environment(void **state) {
  (void)state;
  gh_device *other;
  const char *before = getenv("GH_KERNEL_SHAPE");
  char *kept = before ? strdup(before) : NULL;
  setenv("GH_KERNEL_SHAPE", "triangle", 1);
  assert_int_equal(gh_device_open(&err, device->info.id, &other), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "triangle"));
  setenv("GH_KERNEL_SHAPE", "gpu", 1);
  setenv("GH_MAX_BUFFER_MIB", "3", 1);
  OK(gh_device_open(&err, device->info.id, &other));
  assert_int_equal(other->info.shape, GH_SHAPE_GPU);
  assert_int_equal(other->info.max_buffer_bytes, 3 << 20);
  gh_device_close(other);
  setenv("GH_MAX_BUFFER_MIB", "3x", 1);
  assert_int_equal(gh_device_open(&err, device->info.id, &other), GH_ERROR_ARGUMENT);
  unsetenv("GH_MAX_BUFFER_MIB");
  if (kept)
    setenv("GH_KERNEL_SHAPE", kept, 1);
  else
    unsetenv("GH_KERNEL_SHAPE");
  free(kept);
}

/* A device with less than the GPU shape needs gets the CPU shape, or a clear error before anything runs. */
static void test_small_groups(void **state) {
  (void)state;
  static const struct {
    const char *variable, *value, *said;
  } limits[] = {{"GH_MAX_GROUP", "128", "groups of 128 work-items"}, {"GH_MAX_LOCAL_KIB", "16", "16 KiB of local"}};
  gh_device *other;
  for (size_t i = 0; i < GH_COUNT(limits); i++) {
    setenv(limits[i].variable, limits[i].value, 1);
    gh_device_info info;
    OK(device->backend->device_info(&err, 0, &info));
    assert_false(gh_fits_gpu_shape(&info));
    assert_int_equal(gh_device_open(&err, "opencl:0/gpu", &other), GH_ERROR_UNSUPPORTED);
    if (!strstr(err.text, limits[i].said) || !strstr(err.text, "256 and 32")) fail_msg("%s", err.text);
    if (!getenv("GH_KERNEL_SHAPE")) assert_int_equal(info.shape, GH_SHAPE_CPU);
    setenv(limits[i].variable, "none", 1);
    assert_int_equal(gh_device_open(&err, "opencl:0/cpu", &other), GH_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, limits[i].variable));
    unsetenv(limits[i].variable);
  }
  assert_true(gh_fits_gpu_shape(&device->info));
}

static void test_a_kernel_that_needs_too_much_is_not_bound(void **state) {
  (void)state;
  gh_device *other;
  gh_launch *launch;
  gh_status status = gh_device_open(&err, "opencl:0/gpu", &other);
  OK(status);
  const gh_kernel_id id = {.name = "transpose_forward", .dtype = GH_F32};
  const gh_grid grid = {.groups = {1, 1, 1}, .local = {16, 16, 1}};
  const gh_arg args[] = {gh_arg_buffer(NULL), gh_arg_buffer(NULL), gh_arg_i64(1), gh_arg_i64(1)};
  other->info.local_bytes = 64;
  assert_int_equal(other->backend->bind_kernel(&err, other, &id, &grid, args, GH_COUNT(args), &launch),
                   GH_ERROR_UNSUPPORTED);
  if (!strstr(err.text, "transpose_forward") || !strstr(err.text, "local memory")) fail_msg("%s", err.text);
  gh_device_close(other);
}

static void test_quirks(void **state) {
  (void)state;
  assert_non_null(gh_cl_quirks_of("rusticl", "22.3.6", "llvmpipe (LLVM 15.0.6, 256 bits)").unfit);
  assert_true(gh_cl_quirks_of("rusticl", "22.3.6", "llvmpipe (LLVM 15.0.6, 256 bits)").gpu_shape);
  assert_null(gh_cl_quirks_of("rusticl", "22.3.6", "AMD Radeon").unfit);
  assert_true(gh_cl_quirks_of("Intel(R) OpenCL", "2026.22", "Xeon").no_clfft);
  assert_false(gh_cl_quirks_of("Intel(R) OpenCL Graphics", "1", "Arc").no_binaries);
  assert_true(gh_cl_quirks_of("Portable Computing Language", "3.1+debian", "pthread-haswell").no_binaries);
}

static void test_buffers_and_views(void **state) {
  (void)state;
  const gh_backend *backend = device->backend;
  const int64_t step = device->info.alignment_bytes;
  const int words = (int)(4 * step / 4);
  float values[4096];
  assert_true(words <= 4096);
  for (int i = 0; i < words; i++) values[i] = (float)i;
  gh_buffer *all, *half, *last, *none;
  const int64_t held = device->counters.held_bytes;
  OK(backend->buffer_create(&err, device, 4 * step, &all));
  OK(backend->write(&err, device, all, 0, values, 4 * step));
  OK(backend->buffer_view(&err, device, all, 2 * step, 2 * step, &half));
  OK(backend->buffer_view(&err, device, half, step, step, &last)); /* a view of a view */
  assert_int_equal(backend->buffer_bytes(last), step);
  check_floats(half, 0, values + words / 2, words / 2);
  check_floats(last, 0, values + 3 * words / 4, words / 4);
  float nine = 9;
  OK(backend->write(&err, device, last, 4, &nine, 4));
  values[3 * words / 4 + 1] = 9;
  check_floats(all, 0, values, words);

  assert_int_equal(backend->buffer_view(&err, device, all, 0, 0, &none), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->buffer_view(&err, device, all, 4, 8, &none), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->buffer_view(&err, device, half, step, 2 * step, &none), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->write(&err, device, last, step - 4, values, 8), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->read(&err, device, last, -4, values, 8), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->buffer_create(&err, device, 0, &none), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->buffer_create(&err, device, device->info.max_buffer_bytes + 1, &none), GH_ERROR_MEMORY);
  assert_null(none);
  backend->buffer_free(last);
  backend->buffer_free(half);
  assert_int_equal(device->counters.held_bytes, held + 4 * step); /* views take nothing */
  backend->buffer_free(all);
  assert_int_equal(device->counters.held_bytes, held);
  assert_true(device->counters.peak_bytes >= held + 4 * step);
}

static void test_fill_and_copy(void **state) {
  (void)state;
  const gh_backend *backend = device->backend;
  const int64_t step = device->info.alignment_bytes;
  gh_buffer *all, *view;
  gh_launch *launch;
  OK(backend->buffer_create(&err, device, 4 * step, &all));
  OK(backend->buffer_view(&err, device, all, step, 2 * step, &view));
  OK(backend->bind_fill(&err, device, all, 0, 4 * step, 0x3f800000, &launch)); /* 1.0f */
  run(launch);
  OK(backend->bind_fill(&err, device, view, 8, 8, 0x40000000, &launch)); /* 2.0f */
  run(launch);
  OK(backend->bind_copy(&err, device, all, 4, view, 4, 12, &launch));
  run(launch);
  float want[4096];
  for (int i = 0; i < 4 * step / 4; i++) want[i] = 1;
  int64_t at = step / 4;
  want[at + 2] = want[at + 3] = want[2] = want[3] = 2;
  check_floats(all, 0, want, (int)step);

  assert_int_equal(backend->bind_fill(&err, device, view, 2, 8, 0, &launch), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->bind_fill(&err, device, view, 0, 2 * step + 4, 0, &launch), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->bind_copy(&err, device, all, step + 8, view, 0, 16, &launch), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "overlap"));
  backend->buffer_free(view);
  backend->buffer_free(all);
}

/* No buffer is allocated beyond the memory of the device. */
static void test_memory_is_limited(void **state) {
  (void)state;
  gh_buffer *all, *none;
  const int64_t whole = device->info.memory_bytes;
  device->info.memory_bytes = device->counters.held_bytes + 8192;
  OK(device->backend->buffer_create(&err, device, 8192, &all));
  assert_int_equal(device->backend->buffer_create(&err, device, 4, &none), GH_ERROR_MEMORY);
  assert_non_null(strstr(err.text, "only 0.0 of "));
  device->backend->buffer_free(all);
  OK(device->backend->buffer_create(&err, device, 4096, &all));
  device->backend->buffer_free(all);
  device->info.memory_bytes = whole;
}

/* Memory of the host is a buffer like any other. It is the device's own on a CPU only. */
static void test_host_buffers(void **state) {
  (void)state;
  const gh_backend *backend = device->backend;
  const int64_t step = device->info.alignment_bytes, held = device->counters.held_bytes;
  float values[1024] = {0}, want[1024];
  gh_buffer *host, *view, *own, *none;
  gh_launch *launch;
  assert_true(step <= 2048);
  for (int i = 0; i < step / 2; i++) values[i] = (float)i;
  OK(backend->host_buffer_create(&err, device, 2 * step, &host));
  assert_int_equal(device->counters.held_bytes - held, device->info.is_cpu ? 2 * step : 0);
  OK(backend->buffer_create(&err, device, step, &own));
  OK(backend->write(&err, device, host, 0, values, 2 * step));
  OK(backend->buffer_view(&err, device, host, step, step, &view));
  check_floats(view, 0, values + step / 4, (int)step / 4);
  OK(backend->bind_copy(&err, device, own, 0, view, 0, step, &launch)); /* to the device */
  run(launch);
  check_floats(own, 0, values + step / 4, (int)step / 4);
  OK(backend->bind_fill(&err, device, own, 0, step, 0x3f800000, &launch)); /* 1.0f */
  run(launch);
  OK(backend->bind_copy(&err, device, host, 0, own, 0, step, &launch)); /* and back */
  run(launch);
  memcpy(want, values, sizeof want);
  for (int i = 0; i < step / 4; i++) want[i] = 1;
  check_floats(host, 0, want, (int)step / 2);
  const gh_kernel_id id = {.name = "probe_axpy", .source = "tuned_probe", .defines = "", .dtype = GH_F32};
  const gh_grid grid = {.groups = {(size_t)step / 4, 1, 1}, .local = {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(host),           gh_arg_buffer(view), gh_arg_buffer(NULL),
                         gh_arg_i32((int32_t)step / 4), gh_arg_i64(0),       gh_arg_f32(2)};
  OK(backend->bind_kernel(&err, device, &id, &grid, args, 6, &launch));
  run(launch);
  for (int i = 0; i < step / 4; i++) want[i] = 2 * values[step / 4 + i];
  check_floats(host, 0, want, (int)step / 2);
  assert_int_equal(backend->host_buffer_create(&err, device, 0, &none), GH_ERROR_ARGUMENT);
  assert_int_equal(backend->host_buffer_create(&err, device, device->info.max_buffer_bytes + 1, &none),
                   GH_ERROR_MEMORY);
  assert_null(none);
  backend->buffer_free(view);
  backend->buffer_free(host);
  backend->buffer_free(own);
  assert_int_equal(device->counters.held_bytes, held);
}

/* ---- kernels ---- */

static gh_kernel_id probe(const char *name) {
  return (gh_kernel_id){.name = name, .source = "tuned_probe", .defines = "", .dtype = GH_F32};
}

static void test_kernel(void **state) {
  (void)state;
  const gh_backend *backend = device->backend;
  enum { N = 100 };
  float x[N + 8], want[N], bias[N];
  for (int i = 0; i < N + 8; i++) x[i] = (float)i;
  for (int i = 0; i < N; i++) bias[i] = 0.5f * (float)i;
  gh_buffer *xs, *ys, *bs;
  OK(backend->buffer_create(&err, device, sizeof x, &xs));
  OK(backend->buffer_create(&err, device, N * 4, &ys));
  OK(backend->buffer_create(&err, device, N * 4, &bs));
  OK(backend->write(&err, device, xs, 0, x, sizeof x));
  OK(backend->write(&err, device, bs, 0, bias, sizeof bias));
  gh_kernel_id id = probe("probe_axpy");
  gh_grid grid = {.groups = {13, 1, 1}, .local = {8, 1, 1}};
  gh_arg args[] = {gh_arg_buffer(ys), gh_arg_buffer(xs), gh_arg_buffer(NULL),
                   gh_arg_i32(N),     gh_arg_i64(7),     gh_arg_f32(2)};
  gh_launch *plain, *biased;
  OK(backend->bind_kernel(&err, device, &id, &grid, args, 6, &plain));
  args[2] = gh_arg_buffer(bs);
  args[5] = gh_arg_f32(-1);
  OK(backend->bind_kernel(&err, device, &id, &grid, args, 6, &biased));
  for (int again = 0; again < 2; again++) { /* bound arguments persist: the two launches do not affect each other */
    OK(backend->enqueue(&err, device, plain));
    for (int i = 0; i < N; i++) want[i] = 2 * x[i + 7];
    check_floats(ys, 0, want, N);
    OK(backend->enqueue(&err, device, biased));
    for (int i = 0; i < N; i++) want[i] = -x[i + 7] + bias[i];
    check_floats(ys, 0, want, N);
  }
  OK(backend->finish(&err, device));
  backend->launch_free(plain);
  backend->launch_free(biased);
  backend->buffer_free(xs);
  backend->buffer_free(ys);
  backend->buffer_free(bs);
}

/* Runs a kernel; returns how many programs the device has compiled. */
static int64_t compilations_of(gh_device *d, float value) {
  enum { N = 16 };
  float got[N];
  gh_buffer *y, *x;
  gh_launch *launch;
  const gh_backend *backend = d->backend;
  OK(backend->buffer_create(&err, d, sizeof got, &y));
  OK(backend->buffer_create(&err, d, sizeof got, &x));
  for (int i = 0; i < N; i++) got[i] = value;
  OK(backend->write(&err, d, x, 0, got, sizeof got));
  const gh_kernel_id id = probe("probe_axpy");
  const gh_grid grid = {.groups = {2, 1, 1}, .local = {8, 1, 1}};
  gh_arg args[] = {gh_arg_buffer(y), gh_arg_buffer(x), gh_arg_buffer(NULL),
                   gh_arg_i32(N),    gh_arg_i64(0),    gh_arg_f32(2)};
  OK(backend->bind_kernel(&err, d, &id, &grid, args, 6, &launch));
  OK(backend->enqueue(&err, d, launch));
  OK(backend->read(&err, d, y, 0, got, sizeof got));
  for (int i = 0; i < N; i++) assert_true(got[i] == 2 * value);
  backend->launch_free(launch);
  backend->buffer_free(x);
  backend->buffer_free(y);
  return d->counters.compilations;
}

/* Where programs cannot be kept on disk, those of a closed device serve the next one; two at a time have their own. */
static void test_programs_of_a_closed_device(void **state) {
  (void)state;
  gh_device *a, *b;
  const bool stay = gh_cl_quirks_of(device->info.platform, device->info.driver, device->info.name).no_binaries;
  OK(gh_device_open(&err, device->info.id, &a));
  OK(gh_device_open(&err, device->info.id, &b));
  compilations_of(a, 1);
  assert_int_equal(compilations_of(b, 2), 1);
  gh_device_close(a);
  gh_device_close(b);
  for (int i = 0; i < 2; i++) {
    OK(gh_device_open(&err, device->info.id, &a));
    assert_int_equal(compilations_of(a, 3), stay ? 0 : 1);
    gh_device_close(a);
  }
}

static void test_kernel_errors(void **state) {
  (void)state;
  const gh_backend *backend = device->backend;
  gh_buffer *y;
  OK(backend->buffer_create(&err, device, 4096, &y));
  gh_arg args[] = {gh_arg_buffer(y), gh_arg_i32(1), gh_arg_f32(1), gh_arg_f32(1)};
  gh_grid grid = {.groups = {1, 1, 1}, .local = {1, 1, 1}};
  gh_launch *launch;
  gh_kernel_id id = probe("no_such_kernel");
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_DEVICE);
  assert_non_null(strstr(err.text, "no_such_kernel"));
  assert_null(launch);
  id.source = NULL; /* the program with every op's kernels builds, but has no such kernel either */
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_DEVICE);
  if (!strstr(err.text, is_cuda() ? "CUDA_ERROR_NOT_FOUND" : "CL_INVALID_KERNEL_NAME")) fail_msg("%s", err.text);
  id = probe("probe_fma_peak");
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 3, &launch), GH_ERROR_ARGUMENT);
  args[2] = gh_arg_i64(1);
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch),
                   is_cuda() ? GH_ERROR_ARGUMENT : GH_ERROR_DEVICE);
  assert_non_null(strstr(err.text, "argument 2"));
  args[2] = gh_arg_f32(1);
  grid.local[0] = (size_t)device->info.max_group + 1;
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_ARGUMENT);
  grid.local[0] = 0;
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_ARGUMENT);
  grid.local[0] = 1;
  id.source = "tuned_nothing";
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "tuned_nothing"));
  id = probe("probe_fma_peak");
  id.defines = "-Dfloat=nonsense";
  fprintf(stderr, "the build log below is expected:\n");
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_DEVICE);
  assert_non_null(strstr(err.text, "error:"));
  id = probe("probe_fma_peak");
  id.dtype = GH_I32;
  assert_int_equal(backend->bind_kernel(&err, device, &id, &grid, args, 4, &launch), GH_ERROR_UNSUPPORTED);
  backend->buffer_free(y);
}

static void test_dtypes(void **state) {
  (void)state;
  assert_int_equal(gh_dtype_size(GH_F32), 4);
  assert_int_equal(gh_dtype_size(GH_BF16), 2);
  assert_string_equal(gh_dtype_name(GH_BF16), "bf16");
  assert_int_equal(gh_dtype_size(GH_DTYPES), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_info),
      cmocka_unit_test(test_unknown_device_lists_those_that_exist),
      cmocka_unit_test(test_quirks),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_buffers_and_views),
      cmocka_unit_test(test_fill_and_copy),
      cmocka_unit_test(test_memory_is_limited),
      cmocka_unit_test(test_host_buffers),
      cmocka_unit_test(test_kernel),
      cmocka_unit_test(test_kernel_errors),
      cmocka_unit_test(test_dtypes),
  };
  const struct CMUnitTest of_opencl[] = {
      cmocka_unit_test(test_small_groups),
      cmocka_unit_test(test_a_kernel_that_needs_too_much_is_not_bound),
      cmocka_unit_test(test_programs_of_a_closed_device),
  };
  int failed = cmocka_run_group_tests(tests, open_device, close_device);
  if (gh_starts_with(check_device_info().id, "opencl"))
    failed += cmocka_run_group_tests(of_opencl, open_device, close_device);
  return failed;
}
