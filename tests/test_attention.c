/* Attention beyond the fixtures' sizes: blocks of several vectors, several tiles, many heads, against float64 on the
 * host; NaN in the same places as PyTorch; the same bits from run to run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "backend/registry.h"
#include "ops/ops.h"
#include "support/attention_problem.h"
#include "support/check.h"

typedef attention_sizes sizes;
enum { Q = ATTENTION_Q, K = ATTENTION_K, V = ATTENTION_V, DOUT = ATTENTION_DOUT, INPUTS = ATTENTION_INPUTS };
enum { RESULTS = ATTENTION_RESULTS };
static gh_error err;

static void free_all(float **x, int count) {
  for (int i = 0; i < count; i++) free(x[i]);
}

/* ---- on the device ---- */

static void run(const char *shape, const sizes *s, float *const *x, float **result) {
  gh_device *device = NULL;
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  attention_run(device, s, x, result);
  gh_device_close(device);
}

/* ---- in float64 ---- */

static void compare(const sizes *s, const char *shape, float *const *got, double *const *want) {
  for (int i = 0; i < RESULTS; i++) {
    double worst, error = attention_error(s, i, got[i], want[i], &worst);
    if (!(error <= 5e-7))
      fail_msg("%s shape, %lld x %lld x %lld: %s is off by %.3g", shape, (long long)s->nq, (long long)s->nk,
               (long long)s->size, attention_result_names[i], error);
  }
}

static const sizes cases[] = {
    {2, 197, 113, 8, 20, false, 0.4, 0, 0},    /* blocks of 3, 3 + 2 and 2 + 2 vectors, several tiles */
    {2, 113, 197, 8, 20, true, 0.4, 0, 0},     /* and hidden keys */
    {1, 83, 83, 9, 72, true, 0.4, 0, 0},       /* a head size between two vectors */
    {1, 66, 70, 8, 130, false, 0.4, 0, 0},     /* more than one work-group's columns, in the GPU shape */
    {1, 71, 150, 3, 512, false, 0.0442, 0, 0}, /* tiles of two halves; four work-groups' columns in the GPU shape */
    {2, 45, 45, 2, 300, true, 0.0577, 0, 0},   /* the second half of a tile partly used, two vectors per block */
    {3, 97, 197, 2, 20, false, 0.4, 196, 70},  /* hidden keys, and one past the mask, as of the discrete denoiser */
    {2, 70, 197, 2, 72, false, 0.4, 197, 100}, /* all but one, in whole tiles before and after it */
    {2, 131, 137, 3, 40, true, 0.3, 101, 50},  /* and later ones */
    {2, 33, 65, 1, 300, false, 0.0577, 64, 90},
};

static void test_many_heads(void **state) {
  (void)state;
  static const char *const shapes[] = {"cpu", "gpu"};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    float *x[INPUTS], *got[RESULTS], *again[RESULTS];
    double *want[RESULTS];
    attention_fill(&cases[c], x);
    attention_spoil(&cases[c], x);
    attention_reference(&cases[c], x, want);
    for (int i = 0; i < 2; i++) {
      if (!check_has_shape(shapes[i])) continue;
      run(shapes[i], &cases[c], x, got);
      compare(&cases[c], shapes[i], got, want);
      attention_check_hidden(&cases[c], got);
      run(shapes[i], &cases[c], x, again);
      for (int r = 0; r < RESULTS; r++)
        assert_memory_equal(got[r], again[r],
                            (size_t)attention_elements(&cases[c], attention_result_side[r]) * sizeof(float));
      free_all(got, RESULTS);
      free_all(again, RESULTS);
    }
    for (int r = 0; r < RESULTS; r++) free(want[r]);
    free_all(x, INPUTS);
  }
}

/* The number of NaN in each result after replacing one element, every key, or all keys of a tile: PyTorch's counts. */
static void test_nan_propagates(void **state) {
  (void)state;
  static const sizes s = {1, 70, 70, 1, 4, false, 0.4, 0, 0};
  static const struct {
    int input;
    float value;
    int64_t first, end;
    int nans[RESULTS];
  } plants[] = {{Q, NAN, 12, 13, {4, 4, 280, 280}},          {K, NAN, 12, 13, {280, 280, 280, 280}},
                {V, NAN, 12, 13, {70, 280, 280, 0}},         {DOUT, NAN, 12, 13, {0, 4, 280, 70}},
                {K, INFINITY, 12, 13, {280, 280, 280, 280}}, {K, -INFINITY, 0, 280, {280, 280, 280, 280}},
                {K, -INFINITY, 0, 264, {0, 280, 0, 0}}};
  for (int shape = 0; shape < 2; shape++)
    for (size_t c = 0; c < sizeof plants / sizeof *plants; c++) {
      if (!check_has_shape(shape ? "gpu" : "cpu")) continue;
      float *x[INPUTS], *got[RESULTS];
      attention_fill(&s, x);
      for (int64_t k = 0; k < attention_elements(&s, Q); k++) {
        x[Q][k] = fabsf(x[Q][k]) + 0.1f; /* so that an infinite key gives infinite scores of one sign */
        if (k >= plants[c].first && k < plants[c].end) x[plants[c].input][k] = plants[c].value;
      }
      run(shape ? "gpu" : "cpu", &s, x, got);
      for (int r = 0; r < RESULTS; r++) {
        int nans = 0;
        for (int64_t k = 0; k < attention_elements(&s, attention_result_side[r]); k++) nans += isnan(got[r][k]) != 0;
        if (nans != plants[c].nans[r])
          fail_msg("plant %d, %s shape, result %d: %d NaN, expected %d", (int)c, shape ? "gpu" : "cpu", r, nans,
                   plants[c].nans[r]);
      }
      free_all(x, INPUTS);
      free_all(got, RESULTS);
    }
}

/* A sample whose every key is hidden gives NaN, and no other one does. A mask of zeros changes no bit. */
static void test_masks_at_the_ends(void **state) {
  (void)state;
  static const char *const shapes[] = {"cpu", "gpu"};
  static const sizes plain = {2, 35, 67, 2, 8, false, 0.4, 0, 0}, none = {2, 35, 67, 2, 8, false, 0.4, 67, 0},
                     all = {2, 35, 67, 2, 8, false, 0.4, 67, ATTENTION_HIDES_LAST};
  float *x[INPUTS], *got[RESULTS], *masked[RESULTS];
  attention_fill(&plain, x);
  for (int i = 0; i < 2; i++) {
    if (!check_has_shape(shapes[i])) continue;
    run(shapes[i], &plain, x, got);
    run(shapes[i], &none, x, masked);
    for (int r = 0; r < RESULTS; r++)
      assert_memory_equal(got[r], masked[r],
                          (size_t)attention_elements(&plain, attention_result_side[r]) * sizeof(float));
    free_all(masked, RESULTS);
    run(shapes[i], &all, x, masked);
    const int64_t half = attention_elements(&plain, Q) / 2;
    assert_memory_equal(got[0], masked[0], (size_t)half * sizeof(float));
    for (int64_t k = half; k < 2 * half; k++) assert_true(isnan(masked[0][k]));
    free_all(masked, RESULTS);
    free_all(got, RESULTS);
  }
  free_all(x, INPUTS);
}

static void test_wrong_masks(void **state) {
  (void)state;
  static const struct {
    gh_dtype dtype;
    int rank;
    int64_t shape[3];
  } wrong[] = {{GH_F32, 2, {2, 5}}, {GH_U32, 2, {2, 5}}, {GH_I32, 2, {1, 5}},
               {GH_I32, 2, {2, 6}}, {GH_I32, 1, {5}},    {GH_I32, 3, {2, 5, 1}}};
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *device = NULL;
  gh_store *store = NULL;
  gh_tensor *x;
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  check_ok(gh_store_create_unbacked(&err, device, &store));
  check_ok(gh_store_add(&err, store, "x", GH_F32, 4, (int64_t[]){2, 5, 1, 4}, &x));
  for (size_t i = 0; i < GH_COUNT(wrong); i++) {
    gh_graph *g = NULL;
    gh_tensor *hidden;
    char name[16];
    snprintf(name, sizeof name, "hidden%d", (int)i);
    check_ok(gh_store_add(&err, store, name, wrong[i].dtype, wrong[i].rank, wrong[i].shape, &hidden));
    check_ok(gh_graph_create(&err, device, &g));
    assert_null(gh_attention(g, x, x, x, hidden, 1, false));
    check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, "input 3 must be int32, one row per sample");
    gh_graph_free(g);
  }
  gh_store_free(store);
  gh_device_close(device);
}

/* ViT-L/14 at 336 pixels: forward and backward together need less than one tokens x tokens matrix per head. */
static void test_577_tokens_need_no_square_matrix(void **state) {
  (void)state;
  const int64_t tokens = 577, heads = 16, dims[] = {1, tokens, heads, 64};
  static const char *const names[INPUTS] = {"q", "k", "v", "dout"}, *const shapes[] = {"cpu", "gpu"};
  const char *id = getenv("GH_TEST_DEVICE");
  for (int i = 0; i < 2; i++) {
    if (!check_has_shape(shapes[i])) continue;
    gh_device *device = NULL;
    gh_store *store = NULL;
    gh_graph *g = NULL;
    gh_tensor *t[INPUTS];
    setenv("GH_KERNEL_SHAPE", shapes[i], 1);
    check_ok(gh_device_open(&err, id ? id : "auto", &device));
    check_ok(gh_store_create_unbacked(&err, device, &store));
    for (int j = 0; j < INPUTS; j++) {
      check_ok(gh_store_add(&err, store, names[j], GH_F32, 4, dims, &t[j]));
      if (j != DOUT) check_ok(gh_store_make_trainable(&err, store, t[j]));
    }
    check_ok(gh_graph_create(&err, device, &g));
    gh_tensor *out = gh_attention(g, t[Q], t[K], t[V], NULL, 0.125, false);
    gh_graph_keep(g, out);
    check_ok(gh_graph_differentiate_from(g, &out, &t[DOUT], 1));
    check_ok(gh_graph_measure(&err, g));
    assert_true(gh_graph_peak_bytes(g) >= gh_tensor_bytes(out));
    assert_true(gh_graph_peak_bytes(g) < heads * tokens * tokens * (int64_t)sizeof(float));
    gh_graph_free(g);
    gh_store_free(store);
    gh_device_close(device);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_heads), cmocka_unit_test(test_nan_propagates),
                                     cmocka_unit_test(test_masks_at_the_ends), cmocka_unit_test(test_wrong_masks),
                                     cmocka_unit_test(test_577_tokens_need_no_square_matrix)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
