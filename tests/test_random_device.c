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
