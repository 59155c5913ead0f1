/* A convolution whose columns do not fit in one piece is split by images and output rows without changing the
 * results. Where columns are not needed at all, it gives the same numbers in less memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/registry.h"
#include "base/half.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;

typedef struct problem {
  int64_t x[4], w[4];
  gh_conv_geometry geometry;
} problem;

enum { X, W, BIAS, INPUTS };

/* y, dx, dweight, dbias */
typedef struct results {
  int64_t peak; /* bytes of the plan */
  float *values[1 + INPUTS];
  int64_t sizes[1 + INPUTS];
} results;

static float *waves(int64_t n, double pitch) {
  float *values = malloc((size_t)n * sizeof *values);
  assert_non_null(values);
  for (int64_t i = 0; i < n; i++) values[i] = (float)sin(pitch * (double)(i * i % 7919));
  return values;
}

static float *fetch(gh_device *device, const gh_tensor *t, int64_t *size) {
  *size = gh_tensor_elements(t);
  float *values = malloc((size_t)*size * sizeof *values);
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, device, t, values));
  return values;
}

/* Forces a provider of convolutions beside that of products which the environment names, if it does. */
static void force(const char *provider) {
  static char *given;
  char both[100];
  if (!given) given = strdup(getenv("GH_GEMM") ? getenv("GH_GEMM") : "");
  assert_non_null(given);
  const int products = (int)strcspn(given, ",");
  snprintf(both, sizeof both, "%.*s%s%s", products, given, products && provider ? "," : "", provider ? provider : "");
  setenv("GH_GEMM", both, 1);
}

/* With buffers of at most `mib` MiB, and by this provider of convolutions, unless they are NULL. cut: whether the
 * columns, if there are any, are computed in parts. */
static results compute(const problem *p, const char *shape, const char *provider, const char *mib, int *cut) {
  gh_device *device;
  gh_store *store;
  gh_graph *g;
  gh_tensor *in[INPUTS];
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  if (mib) setenv("GH_MAX_BUFFER_MIB", mib, 1);
  force(provider);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  unsetenv("GH_MAX_BUFFER_MIB");
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_store_add(&err, store, "x", GH_F32, 4, p->x, &in[X]));
  check_ok(gh_store_add(&err, store, "w", GH_F32, 4, p->w, &in[W]));
  check_ok(gh_store_add(&err, store, "bias", GH_F32, 1, p->w, &in[BIAS]));
  for (int i = 0; i < INPUTS; i++) {
    float *values = waves(gh_tensor_elements(in[i]), 0.37 + i);
    check_ok(gh_tensor_write(&err, device, in[i], values));
    check_ok(gh_store_make_trainable(&err, store, in[i]));
    free(values);
  }
  check_ok(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_conv2d(g, in[X], in[W], in[BIAS], p->geometry);
  assert_non_null(y);
  *cut = y->producer->scratch &&
         gh_tensor_elements(y->producer->scratch) < p->x[0] * p->w[1] * p->w[2] * p->w[3] * y->shape[2] * y->shape[3];
  check_ok(gh_graph_differentiate_from(g, &y, &y, 1)); /* dy = y */
  gh_graph_keep(g, y);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  results r = {.peak = gh_graph_peak_bytes(g)};
  r.values[0] = fetch(device, y, &r.sizes[0]);
  for (int i = 0; i < INPUTS; i++) r.values[1 + i] = fetch(device, in[i]->grad, &r.sizes[1 + i]);
  gh_graph_free(g);
  gh_store_free(store);
  gh_device_close(device);
  return r;
}

static void compare(const char *what, const results *a, const results *b) {
  static const char *const names[] = {"y", "dx", "dweight", "dbias"};
  for (int k = 0; k < 1 + INPUTS; k++) {
    assert_int_equal(a->sizes[k], b->sizes[k]);
    double error = 0, norm = 0;
    for (int64_t i = 0; i < a->sizes[k]; i++) {
      error += pow((double)a->values[k][i] - (double)b->values[k][i], 2);
      norm += pow((double)b->values[k][i], 2);
    }
    error = sqrt(error / norm);
    if (!(error <= 2e-6)) fail_msg("%s: %s is off by %g", what, names[k], error);
    free(a->values[k]);
    free(b->values[k]);
  }
}

static const problem problems[] = {
    {{2, 16, 64, 64}, {8, 16, 3, 3}, {1, 1, 1, 1, 0}},   /* rows of one image */
    {{5, 8, 38, 38}, {7, 8, 3, 3}, {1, 1, 1, 0, 1}},     /* two images, two, one */
    {{1, 12, 129, 129}, {5, 12, 3, 3}, {2, 0, 0, 1, 1}}, /* the autoencoder's strided one */
    {{3, 3, 120, 100}, {2, 3, 9, 4}, {1, 4, 0, 4, 3}},
    {{2, 6, 150, 70}, {3, 6, 5, 5}, {1, 6, 3, 6, 3}}, /* whole output rows of padding */
};

static void check(const char *shape, const char *provider) {
  for (size_t i = 0; i < GH_COUNT(problems); i++) {
    char what[64];
    int cut = 0;
    snprintf(what, sizeof what, "%s shape, problem %zu", shape, i);
    results whole = compute(&problems[i], shape, provider, NULL, &cut);
    assert_false(cut);
    results parts = compute(&problems[i], shape, provider, "1", &cut);
    if (!cut) fail_msg("%s is not split", what);
    compare(what, &parts, &whole);
  }
}

static void test_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  check("cpu", NULL);
}

static void test_gpu_shape(void **state) {
  (void)state;
  check("gpu", "columns");
}

/* Several blocks of positions, chunks of input channels and groups of output channels, none of them full; and cases
 * where only the weight's gradient is direct: strided, unpadded and 1 x 1. */
static const problem direct_problems[] = {
    {{2, 37, 17, 19}, {133, 37, 3, 3}, {1, 1, 1, 1, 1}}, {{1, 64, 16, 16}, {128, 64, 3, 3}, {1, 1, 1, 1, 1}},
    {{3, 5, 300, 1}, {1, 5, 3, 3}, {1, 1, 1, 1, 1}},     {{2, 131, 1, 129}, {2, 131, 3, 3}, {1, 1, 1, 1, 1}},
    {{1, 1, 150, 2}, {9, 1, 3, 3}, {1, 1, 1, 1, 1}},     {{5, 20, 40, 41}, {65, 20, 3, 3}, {1, 1, 1, 1, 1}},
    {{2, 37, 33, 35}, {70, 37, 3, 3}, {2, 0, 0, 1, 1}},  {{3, 17, 19, 64}, {9, 17, 3, 3}, {2, 0, 0, 1, 1}},
    {{3, 4, 18, 66}, {3, 4, 3, 3}, {1, 0, 0, 0, 0}},     {{3, 155, 7, 9}, {67, 155, 1, 1}, {1, 0, 0, 0, 0}},
    {{2, 8, 64, 64}, {16, 8, 1, 1}, {1, 0, 0, 0, 0}},
};

static void test_direct_equals_columns(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  for (size_t i = 0; i < GH_COUNT(direct_problems); i++) {
    char what[64];
    int cut;
    snprintf(what, sizeof what, "direct problem %zu", i);
    results direct = compute(&direct_problems[i], "cpu", NULL, NULL, &cut);
    results columns = compute(&direct_problems[i], "gpu", "columns", NULL, &cut);
    compare(what, &direct, &columns);
  }
}

/* y of bfloat16 x and weight, or of the same numbers in float32. `copied`: the bias has a bfloat16 copy, which a
 * product may add. */
static float *forward(const problem *p, gh_device *device, gh_dtype dtype, bool copied, int64_t *size) {
  gh_store *store;
  gh_graph *g;
  gh_tensor *in[INPUTS];
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_store_add(&err, store, "x", dtype, 4, p->x, &in[X]));
  check_ok(gh_store_add(&err, store, "w", dtype, 4, p->w, &in[W]));
  check_ok(gh_store_add(&err, store, "bias", GH_F32, 1, p->w, &in[BIAS]));
  if (copied) check_ok(gh_store_make_working(&err, store, in[BIAS], GH_BF16));
  for (int i = 0; i < INPUTS; i++) {
    const int64_t n = gh_tensor_elements(in[i]);
    float *values = waves(n, 0.37 + i);
    for (int64_t k = 0; k < n; k++) values[k] = gh_bf16_to_f32(gh_f32_to_bf16(values[k]));
    check_ok(gh_tensor_write_f32(&err, device, in[i], values));
    free(values);
  }
  check_ok(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_conv2d(g, in[X], in[W], in[BIAS], p->geometry);
  assert_non_null(y);
  assert_int_equal(y->dtype, dtype);
  gh_graph_keep(g, y);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  *size = gh_tensor_elements(y);
  float *got = malloc((size_t)*size * sizeof *got);
  assert_non_null(got);
  check_ok(gh_tensor_read_f32(&err, device, y, got));
  gh_graph_free(g);
  gh_store_free(store);
  return got;
}

/* plain: where the float32 numbers come from */
static void check_bfloat16(const problem *p, gh_device *device, gh_device *plain, const char *what) {
  int64_t sizes[2];
  float *want = forward(p, plain, GH_F32, false, &sizes[0]);
  for (int copied = 0; copied < 2; copied++) {
    double error = 0, norm = 0;
    float *got = forward(p, device, GH_BF16, copied, &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    for (int64_t i = 0; i < sizes[0]; i++) {
      error += pow((double)got[i] - (double)want[i], 2);
      norm += pow((double)want[i], 2);
    }
    error = sqrt(error / norm); /* one rounding, two if the bias is added apart, each of at most 2^-9 */
    if (!(error <= 2.5e-3)) fail_msg("%s: y in bfloat16 is off by %g", what, error);
    free(got);
  }
  free(want);
}

static void test_bfloat16(void **state) {
  (void)state;
  static const struct {
    const char *shape, *provider;
  } ways[] = {{"cpu", NULL}, {"gpu", "columns"}, {"gpu", "own-conv-gpu work=4"}};
  const char *id = getenv("GH_TEST_DEVICE");
  for (size_t s = 0; s < GH_COUNT(ways); s++) {
    gh_device *device;
    if (!s && !check_has_shape("cpu")) continue;
    setenv("GH_KERNEL_SHAPE", ways[s].shape, 1);
    force(ways[s].provider);
    check_ok(gh_device_open(&err, id ? id : "auto", &device));
    for (size_t i = 0; i < GH_COUNT(problems) + GH_COUNT(direct_problems); i++) {
      char what[80];
      snprintf(what, sizeof what, "%s shape, %s, bfloat16 problem %zu", ways[s].shape,
               ways[s].provider ? ways[s].provider : "chosen", i);
      check_bfloat16(i < GH_COUNT(problems) ? &problems[i] : &direct_problems[i - GH_COUNT(problems)], device, device,
                     what);
    }
    gh_device_close(device);
  }
  force(NULL);
}

/* Only frozen models are convolved in bfloat16. */
static void test_no_bfloat16_gradient(void **state) {
  (void)state;
  gh_device *device;
  gh_store *store;
  gh_graph *g;
  gh_tensor *x, *w;
  check_ok(gh_device_open(&err, "auto", &device));
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_store_add(&err, store, "x", GH_BF16, 4, problems[0].x, &x));
  check_ok(gh_store_add(&err, store, "w", GH_BF16, 4, problems[0].w, &w));
  check_ok(gh_store_make_trainable(&err, store, w));
  check_ok(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_conv2d(g, x, w, NULL, problems[0].geometry);
  assert_non_null(y);
  assert_int_not_equal(gh_graph_differentiate_from(g, &y, &y, 1), GH_OK);
  assert_non_null(strstr(gh_graph_error(g)->text, "conv2d"));
  assert_non_null(strstr(gh_graph_error(g)->text, "has no gradient in bf16"));
  gh_graph_free(g);
  gh_store_free(store);
  gh_device_close(device);
}

/* On GPUs, whatever has a square kernel; a stride leaves the input's gradient to columns. */
static void compare_to_columns(const char *provider, const problem *of) {
  char what[64];
  int cut;
  snprintf(what, sizeof what, "%s, %lldx%lld by %d", provider, (long long)of->x[2], (long long)of->x[3],
           of->geometry.stride);
  results image = compute(of, "gpu", provider, NULL, &cut), columns = compute(of, "gpu", "columns", NULL, &cut);
  if (of->w[2] == of->w[3] && of->w[2] > 1 && image.peak > columns.peak) fail_msg("%s takes more memory", what);
  if (of->w[2] == of->w[3] && of->w[2] > 1 && of->geometry.stride == 1 && of->x[0] > 1 && image.peak == columns.peak)
    fail_msg("%s has columns in memory", what);
  compare(what, &image, &columns);
}

static void test_image_equals_columns(void **state) {
  (void)state;
  static const char *const providers[] = {"own-conv-gpu work=8", "own-conv-gpu work=4", "own-conv-gpu work=8 across=4"};
  for (size_t k = 0; k < GH_COUNT(providers); k++) {
    for (size_t i = 0; i < GH_COUNT(problems) && !k; i++) compare_to_columns(providers[k], &problems[i]);
    for (size_t i = 0; i < GH_COUNT(direct_problems); i++) compare_to_columns(providers[k], &direct_problems[i]);
  }
}

/* ---- matrix units, emulated: the kernel's own index arithmetic, with the instruction replaced by its documentation
 * ---- */

static const char *const units[] = {"-DUNIT_MMA", "-DUNIT_MFMA", "-DUNIT_WMMA", "-DUNIT_DPAS16", "-DUNIT_DPAS8"};

static bool is_emulated(const gh_gemm_desc *g, const gh_device *d) {
  return d && g->dtype == GH_BF16 && gh_conv_matrix_prepared(g);
}
static gh_status bind_emulated(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                               const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  char all[100];
  (void)a;
  snprintf(all, sizeof all, "-DUNIT_EMULATED -DTILE=%d %s", provider->size[0], units[provider->size[1]]);
  return gh_conv_matrix_bind_as(e, d, all, provider->size[0], g, b, c, out);
}

/* Channels are whole groups of 16; positions, output channels and steps of k are around the sizes of tiles. */
static const problem matrix_problems[] = {
    {{2, 16, 9, 11}, {70, 16, 3, 3}, {1, 1, 1, 1, 1}},  {{1, 48, 13, 12}, {9, 48, 3, 3}, {2, 0, 0, 1, 1}},
    {{1, 32, 8, 16}, {130, 32, 3, 3}, {1, 1, 1, 1, 1}}, {{2, 16, 7, 5}, {17, 16, 3, 3}, {1, 0, 0, 0, 0}},
    {{1, 80, 9, 14}, {20, 80, 1, 1}, {2, 0, 0, 0, 0}},  {{1, 16, 1, 67}, {1, 16, 3, 3}, {1, 1, 1, 1, 1}},
};

static void test_matrix_units(void **state) {
  (void)state;
#define EMULATED(tile, unit)                                                                                           \
  {                                                                                                                    \
    {"emulated " #unit " " #tile, "emulated " #unit}, is_emulated, bind_emulated, gh_conv_matrix_prepare,              \
        {tile, unit}, 1u << GH_EPILOGUE_BIAS, 0, true                                                                  \
  }
  static const gh_gemm_provider emulated[] = {EMULATED(64, 0), EMULATED(64, 1), EMULATED(64, 2),
                                              EMULATED(64, 3), EMULATED(64, 4), EMULATED(128, 0)};
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *device, *plain;
  const bool cpu = check_has_shape("cpu");
  force(cpu ? NULL : "columns");
  setenv("GH_KERNEL_SHAPE", cpu ? "cpu" : "gpu", 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &plain));
  setenv("GH_KERNEL_SHAPE", "gpu", 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  if (device->info.max_group < 256 || device->info.local_bytes < 49152) skip();
  static const char *const own[] = {"own-conv-matrix tile=64", "own-conv-matrix tile=128"};
  const bool interpreted = getenv("GH_DOUBLE_PTX"); /* has the unit's own instructions */
  for (size_t k = 0; k < (interpreted ? GH_COUNT(own) : GH_COUNT(emulated)); k++) {
    const char *name = interpreted ? own[k] : emulated[k].base.name;
    if (!interpreted) check_ok(gh_choice_plant(&err, device, &gh_gemm_kind, &emulated[k].base));
    check_ok(gh_choice_force(&err, device, &gh_gemm_kind, name));
    for (size_t i = 0; i < GH_COUNT(matrix_problems); i++) check_bfloat16(&matrix_problems[i], device, plain, name);
  }
  gh_device_close(device);
  gh_device_close(plain);
  force(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu_shape),
                                     cmocka_unit_test(test_gpu_shape),
                                     cmocka_unit_test(test_direct_equals_columns),
                                     cmocka_unit_test(test_bfloat16),
                                     cmocka_unit_test(test_no_bfloat16_gradient),
                                     cmocka_unit_test(test_image_equals_columns),
                                     cmocka_unit_test(test_matrix_units)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
