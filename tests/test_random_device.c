/* Random numbers have the same bits on the host and on every device, in every shape it supports, however a batch is
 * split. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/registry.h"
#include "base/random.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;

static const char *where; /* "opencl:0 Portable Computing Language, cpu shape" */
static gh_device *device;
static gh_store *store;
static gh_tensor *step;

static void set_ordinal(uint64_t ordinal) {
  const uint32_t block[STEP_WORDS] = {
      [STEP_ORDINAL_LO] = (uint32_t)ordinal, [STEP_ORDINAL_HI] = (uint32_t)(ordinal >> 32)};
  check_ok(gh_tensor_write(&err, device, step, block));
}

/* Plans, runs and reads out; frees the graph. */
static float *result(gh_graph *g, gh_tensor *out) {
  gh_graph_keep(g, out);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  float *values = malloc((size_t)gh_tensor_bytes(out));
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, device, out, values));
  gh_graph_free(g);
  return values;
}

static gh_graph *graph(void) {
  gh_graph *g = NULL;
  check_ok(gh_graph_create(&err, device, &g));
  return g;
}

static void same_bits(const char *what, const float *got, const float *want, int64_t n) {
  if (!memcmp(got, want, (size_t)n * sizeof *got)) return;
  int64_t i = 0, different = 0;
  for (int64_t k = n - 1; k >= 0; k--)
    if (memcmp(got + k, want + k, sizeof *got)) i = k, different++;
  fail_msg("%s, %s: %lld of %lld numbers differ, the first at %lld: %.9g, expected %.9g", where, what,
           (long long)different, (long long)n, (long long)i, (double)got[i], (double)want[i]);
}

static const gh_stream stream = {{0x12345678u, 0xFEDCBA98u}};
static const uint64_t first_ordinal = UINT64_C(0xFFFFFFFE); /* so that the carry into the upper word is tested too */

static float *device_normals(uint64_t ordinal, int64_t samples, int64_t n) {
  gh_graph *g = graph();
  set_ordinal(ordinal);
  return result(g, gh_random_normal(g, step, stream.key, 2, (int64_t[]){samples, n}));
}

static void check_normals(int64_t samples, int64_t n) {
  float *got = device_normals(first_ordinal, samples, n), *want = malloc((size_t)n * sizeof *want);
  for (int64_t b = 0; b < samples; b++) {
    gh_stream_normals(stream, first_ordinal + (uint64_t)b, 0, n, want);
    same_bits("normals", got + b * n, want, n);
  }
  free(got);
  free(want);
}

/* Four samples at once, or two and two: the same numbers. */
static void check_batch_split(void) {
  const int64_t n = 4099;
  float *whole = device_normals(first_ordinal, 4, n), *rest = device_normals(first_ordinal + 2, 2, n);
  same_bits("the batch's second half", rest, whole + 2 * n, 2 * n);
  free(whole);
  free(rest);
}

static void check_timesteps(int64_t batch, bool uniform, double scale) {
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  float *got = result(g, gh_random_timestep(g, step, stream.key, batch, uniform, scale)), want;
  for (int64_t b = 0; b < batch; b++) {
    uint64_t ordinal = first_ordinal + (uint64_t)b;
    gh_stream_uniforms(stream, ordinal, 0, 1, &want);
    if (uniform) same_bits("uniform time steps", got + b, &want, 1);
    if (uniform) continue;
    gh_stream_normals(stream, ordinal, 0, 1, &want);
    double exact = 1 / (1 + exp(-(scale * (double)want))), error = fabs((double)got[b] - exact);
    if (!(error <= 2e-7)) fail_msg("%s: time step %lld is %g, expected %g", where, (long long)b, (double)got[b], exact);
  }
  free(got);
}

static void check_indices(int64_t samples, int64_t n, int64_t count) {
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  float *bits = result(g, gh_random_index(g, step, stream.key, samples, n, count));
  const int32_t *got = (const int32_t *)(const void *)bits;
  for (int64_t i = 0; i < samples * count; i++) {
    uint64_t want = gh_permute_at(stream, first_ordinal + (uint64_t)(i / count), (uint64_t)(i % count), (uint64_t)n);
    if ((uint64_t)got[i] != want)
      fail_msg("%s: index %lld of %lld is %d, expected %llu", where, (long long)i, (long long)n, got[i],
               (unsigned long long)want);
  }
  free(bits);
}

static void check_gumbels(int64_t samples, int64_t n) {
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  float *got = result(g, gh_random_gumbel(g, step, stream.key, 2, (int64_t[]){samples, n}));
  float *want = malloc((size_t)n * sizeof *want);
  for (int64_t b = 0; b < samples; b++) {
    gh_stream_gumbels(stream, first_ordinal + (uint64_t)b, 0, n, want);
    same_bits("Gumbel noise", got + b * n, want, n);
  }
  free(got);
  free(want);
}

static void check_masks(int64_t samples, int64_t n, double low, double high) {
  static const gh_stream order = {{0x9abcdef0u, 0x13579bdfu}};
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  float *bits = result(g, gh_random_mask(g, step, stream.key, order.key, samples, n, low, high));
  int32_t *want = malloc((size_t)n * sizeof *want);
  const int32_t *got = (const int32_t *)(const void *)bits;
  for (int64_t b = 0; b < samples; b++) {
    gh_mask_at(stream, order, first_ordinal + (uint64_t)b, n, low, high, want);
    if (memcmp(got + b * n, want, (size_t)n * sizeof *want))
      fail_msg("%s: the mask of sample %lld of %lld positions differs", where, (long long)b, (long long)n);
  }
  free(bits);
  free(want);
}

/* A float32 or bf16 input of the store, and its values as the device holds them. */
static gh_tensor *logits_input(gh_dtype dtype, int rows, int64_t samples, int64_t k, float *values) {
  char name[64];
  gh_tensor *x;
  const int64_t shape[] = {samples, rows, k};
  snprintf(name, sizeof name, "logits.%dx%lldx%lld.%d", rows, (long long)samples, (long long)k, (int)dtype);
  check_ok(gh_store_add(&err, store, name, dtype, 3, shape, &x));
  gh_stream_normals(stream, 7, 0, samples * rows * k, values);
  check_ok(gh_tensor_write_f32(&err, device, x, values));
  check_ok(gh_tensor_read_f32(&err, device, x, values));
  return x;
}

/* Codes to the bit; log-probabilities against float64. */
static void check_categorical(gh_dtype dtype, int64_t samples, int rows, int64_t k, double temperature) {
  float *logits = malloc((size_t)(samples * rows * k) * sizeof *logits);
  gh_tensor *x = logits_input(dtype, rows, samples, k, logits), *code, *log_probability;
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  gh_categorical(g, x, step, stream.key, temperature, &code, &log_probability);
  gh_graph_keep(g, log_probability);
  gh_graph_keep(g, code);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  int32_t *got = malloc((size_t)(samples * rows) * sizeof *got);
  float *probability = malloc((size_t)(samples * rows) * sizeof *probability);
  check_ok(gh_tensor_read(&err, device, code, got));
  check_ok(gh_tensor_read(&err, device, log_probability, probability));
  for (int64_t i = 0; i < samples * rows; i++) {
    const float *row = logits + i * k;
    int64_t want = gh_categorical_at(stream, first_ordinal + (uint64_t)(i / rows), i % rows, row, k, temperature);
    if (got[i] != want)
      fail_msg("%s: row %lld of %lld codes draws %d, expected %lld", where, (long long)i, (long long)k, got[i],
               (long long)want);
    double sum = 0;
    for (int64_t n = 0; n < k; n++) sum += exp(((double)row[n] - (double)row[want]) / temperature);
    if (!(fabs((double)probability[i] + log(sum)) <= 4e-6 * (1 + log(sum))))
      fail_msg("%s: row %lld's log-probability is %.9g, expected %.9g", where, (long long)i, (double)probability[i],
               -log(sum));
  }
  gh_graph_free(g);
  free(logits);
  free(got);
  free(probability);
}

/* NaN is not drawn where there is a number, but shows in the log-probability; a row of NaN gives a code that exists. */
static void check_categorical_without_numbers(void) {
  enum { rows = 3, k = 37 };
  float logits[rows * k], *probability;
  gh_tensor *x = logits_input(GH_F32, rows, 1, k, logits), *code, *log_probability;
  for (int i = 0; i < rows * k; i++)
    if (i / k == 2 || (i / k == 1 && i % k != 5)) logits[i] = NAN;
  check_ok(gh_tensor_write(&err, device, x, logits));
  gh_graph *g = graph();
  gh_categorical(g, x, step, stream.key, 1, &code, &log_probability);
  int32_t got[rows];
  gh_graph_keep(g, code);
  gh_graph_keep(g, log_probability);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  check_ok(gh_tensor_read(&err, device, code, got));
  probability = logits;
  check_ok(gh_tensor_read(&err, device, log_probability, probability));
  assert_true(isfinite(probability[0]) && isnan(probability[1]) && isnan(probability[2]));
  assert_int_equal(got[1], 5);
  assert_in_range(got[2], 0, k - 1);
  gh_graph_free(g);
}

/* dx of a dropped and scaled x, and x itself all ones: the forward and the backward pass keep the same elements. */
static void check_dropout(int64_t samples, int64_t n, double p) {
  const float keep = (float)(1 / (1 - p));
  const int64_t shape[] = {samples, n}, total = samples * n;
  char name[64];
  snprintf(name, sizeof name, "x.%lldx%lld.%g", (long long)samples, (long long)n, p);
  gh_tensor *x;
  check_ok(gh_store_add(&err, store, name, GH_F32, 2, shape, &x));
  check_ok(gh_store_make_trainable(&err, store, x));
  float *ones = malloc((size_t)total * sizeof *ones), *want = malloc((size_t)total * sizeof *want);
  for (int64_t i = 0; i < total; i++) ones[i] = 1;
  check_ok(gh_tensor_write(&err, device, x, ones));
  gh_graph *g = graph();
  set_ordinal(first_ordinal);
  gh_tensor *y = gh_dropout(g, x, step, NULL, stream.key, p), *dy = gh_add_scaled(g, x, x, 2);
  check_ok(gh_graph_differentiate_from(g, &y, &dy, 1));
  float *got = result(g, y);
  int64_t dropped = 0;
  for (int64_t b = 0; b < samples; b++) gh_stream_uniforms(stream, first_ordinal + (uint64_t)b, 0, n, want + b * n);
  for (int64_t i = 0; i < total; i++) {
    want[i] = want[i] >= (float)p ? keep : 0;
    dropped += want[i] == 0;
  }
  same_bits("dropout", got, want, total);
  check_ok(gh_tensor_read(&err, device, x->grad, got));
  for (int64_t i = 0; i < total; i++) want[i] *= 3;
  same_bits("dropout's gradient", got, want, total);
  double expected = (double)total * p, deviation = sqrt((double)total * p * (1 - p));
  if (!(fabs((double)dropped - expected) <= 6 * deviation))
    fail_msg("%s: %lld of %lld are dropped", where, (long long)dropped, (long long)total);
  free(ones);
  free(want);
  free(got);
}

static void check_device(const char *id, const char *platform, const char *shape) {
  char text[256];
  snprintf(text, sizeof text, "%s %s, %s shape", id, platform, shape);
  where = text;
  printf("%s\n", where);
  setenv("GH_KERNEL_SHAPE", shape, 1);
  gh_status status = gh_device_open(&err, id, &device);
  if (status == GH_ERROR_UNSUPPORTED) return; /* a device with one shape only */
  check_ok(status);
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_store_add(&err, store, "step", GH_U32, 1, (int64_t[]){STEP_WORDS}, &step));
  check_normals(2, 500003); /* a million */
  check_normals(3, 1);
  check_normals(3, 127);
  check_normals(5, 4097);
  check_batch_split();
  check_timesteps(67, false, 1);
  check_timesteps(1, false, 10);
  check_timesteps(67, true, 1);
  check_indices(5, 256, 64);
  check_indices(3, 1, 1);
  check_indices(1, 100003, 5000);
  check_gumbels(2, 100003);
  check_gumbels(3, 1);
  check_masks(67, 196, 0.5, 0.9);
  check_masks(3, 2, 0, 1);
  check_masks(5, 441, 0.25, 0.25);
  check_masks(1, 5003, 0, 1);
  check_categorical(GH_F32, 2, 3, 16387, 1);
  check_categorical(GH_BF16, 2, 3, 4098, 0.5);
  check_categorical(GH_F32, 65, 2, 1, 2);
  check_categorical(GH_F32, 1, 31, 33, 1.25);
  check_categorical_without_numbers();
  check_dropout(3, 100003, 0.1);
  check_dropout(2, 33, 0.5);
  check_dropout(300, 1, 0.25);
  gh_store_free(store);
  gh_device_close(device);
}

static void test_every_device(void **state) {
  (void)state;
  gh_device_info infos[16];
  char notes[256];
  int count = gh_device_list(infos, 16, notes, sizeof notes);
  if (count < 1) fail_msg("no device: %s", notes);
  for (int i = 0; i < count && i < 16; i++) {
    if (strncmp(infos[i].id, "cuda:", 5)) check_device(infos[i].id, infos[i].platform, "cpu");
    check_device(infos[i].id, infos[i].platform, "gpu");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_device)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
