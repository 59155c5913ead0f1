/* Storage in the narrow types: the device's rounding compared with the host's, bit by bit; parameters and their working
 * copies. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;
static gh_device *device;
static gh_store *store;
static gh_graph *graph;

static void begin(const char *shape) {
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_graph_create(&err, device, &graph));
}

static void end(void) {
  gh_graph_free(graph);
  gh_store_free(store);
  gh_device_close(device);
}

static void run(void) {
  check_ok(gh_graph_plan(&err, graph));
  check_ok(gh_graph_run(&err, graph));
}

static gh_tensor *stored(const char *name, gh_dtype dtype, int64_t n, const void *data) {
  gh_tensor *t = NULL;
  check_ok(gh_store_add(&err, store, name, dtype, 1, &n, &t));
  if (data) check_ok(gh_tensor_write(&err, device, t, data));
  return t;
}

/* ---- rounding ---- */

static float float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

enum { SPECIAL = 44, HALVES = 65536, NUMBERS = SPECIAL + HALVES + 8219 };

/* Special values, among them f16's ties, largest and smallest numbers; every f16; arbitrary bits. */
static void fill_numbers(float *values) {
  static const uint32_t special[SPECIAL] = {
      0x00000000u, 0x80000000u, 0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu, 0x7f7fffffu, 0xff7fffffu,
      0x7f7f7fffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u, 0xffffffffu, 0x00000001u, 0x00008000u,
      0x00018000u, 0x007fffffu, 0x3f801000u, 0x3f803000u, 0x3f801001u, 0x3f800fffu, 0x477fe000u, 0x477fefffu,
      0x477ff000u, 0xc77ff000u, 0x47800000u, 0x38800000u, 0x387fffffu, 0x387fe000u, 0x387ff000u, 0x387fefffu,
      0x33800000u, 0x33000000u, 0x33000001u, 0x32ffffffu, 0xb3000000u, 0xb3000001u, 0x33c00000u, 0x34200000u,
      0x34600000u, 0x7f800fffu, 0xff801fffu, 0xb8800000u};
  uint64_t state = 7;
  for (int i = 0; i < SPECIAL; i++) values[i] = float_of_bits(special[i]);
  for (int i = 0; i < HALVES; i++) values[SPECIAL + i] = gh_widen(GH_F16, (uint16_t)i);
  for (int i = SPECIAL + HALVES; i < NUMBERS; i++) values[i] = float_of_bits(check_random(&state));
}

static void check_rounding(const char *shape, gh_dtype type) {
  static float values[NUMBERS], back[NUMBERS];
  static uint16_t rounded[NUMBERS];
  begin(shape);
  fill_numbers(values);
  gh_tensor *narrow = gh_cast(graph, stored("x", GH_F32, NUMBERS, values), type);
  gh_tensor *wide = gh_cast(graph, narrow, GH_F32);
  gh_graph_keep(graph, narrow);
  gh_graph_keep(graph, wide);
  run();
  check_ok(gh_tensor_read(&err, device, narrow, rounded));
  check_ok(gh_tensor_read(&err, device, wide, back));
  for (int i = 0; i < NUMBERS; i++) {
    uint16_t want = gh_narrow(type, values[i]);
    if (isnan(values[i])) {
      assert_true(isnan(gh_widen(type, rounded[i])) && isnan(back[i]));
      continue;
    }
    float wide_want = gh_widen(type, want);
    if (rounded[i] != want) fail_msg("%d: %a rounds to %04x, expected %04x", i, (double)values[i], rounded[i], want);
    assert_memory_equal(&back[i], &wide_want, sizeof wide_want);
  }
  end();
}

static void test_rounding(void **state) {
  (void)state;
  for (gh_dtype type = GH_BF16; type <= GH_F16; type++) {
    if (check_has_shape("cpu")) check_rounding("cpu", type);
    check_rounding("gpu", type);
  }
}

/* ---- a parameter and its working copy ---- */

enum { WEIGHTS = 4099 };

static void expect_rounded(const gh_tensor *parameter) {
  static float values[WEIGHTS];
  static uint16_t copy[WEIGHTS];
  check_ok(gh_tensor_read(&err, device, parameter, values));
  check_ok(gh_tensor_read(&err, device, parameter->working, copy));
  for (int i = 0; i < WEIGHTS; i++) assert_int_equal(copy[i], gh_narrow(parameter->working->dtype, values[i]));
}

static void check_update(const char *shape, gh_dtype type, bool short_moments) {
  static float weights[WEIGHTS], gradients[WEIGHTS], after[WEIGHTS];
  float rate = 1e-3f, one = 1;
  uint32_t step[STEP_WORDS] = {0}, control[CONTROL_WORDS] = {0};
  memcpy(&step[STEP_LEARNING_RATE], &rate, sizeof rate);
  memcpy(&step[STEP_BIAS1], &one, sizeof one);
  memcpy(&step[STEP_BIAS2], &one, sizeof one);
  memcpy(&control[CONTROL_CLIP], &one, sizeof one);
  uint64_t state = 11;
  for (int i = 0; i < WEIGHTS; i++) weights[i] = (float)check_random(&state) * 0x1p-32f - 0.5f;
  for (int i = 0; i < WEIGHTS; i++) gradients[i] = (float)check_random(&state) * 0x1p-32f - 0.5f;
  begin(shape);
  gh_tensor *w = stored("w", GH_F32, WEIGHTS, NULL);
  check_ok(gh_store_make_working(&err, store, w, type));
  const int64_t words = short_moments ? gh_moment_words(WEIGHTS) : WEIGHTS;
  const gh_dtype moments = short_moments ? GH_U32 : GH_F32;
  check_ok(gh_tensor_write(&err, device, w, weights));
  expect_rounded(w);
  gh_adamw(graph, w, stored("g", GH_F32, WEIGHTS, gradients), stored("m", moments, words, NULL),
           stored("v", moments, words, NULL), stored("step", GH_U32, STEP_WORDS, step),
           stored("control", GH_U32, CONTROL_WORDS, control), (gh_adamw_options){0.9, 0.999, 1e-8, 0.01, {0}, false});
  run();
  check_ok(gh_tensor_read(&err, device, w, after));
  assert_true(memcmp(weights, after, sizeof after) != 0);
  expect_rounded(w);
  end();
}

static void test_update_writes_both(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    const gh_dtype type = i % 2 ? GH_F16 : GH_BF16;
    if (check_has_shape("cpu")) check_update("cpu", type, i / 2);
    check_update("gpu", type, i / 2);
  }
}

/* ---- a low-rank product in parts ---- */

enum { IN = 33, RANK = 3, OUT = 17 };

static gh_tensor *matrix(const char *name, gh_dtype dtype, int64_t rows, int64_t columns, const float *values) {
  gh_tensor *t = NULL;
  check_ok(gh_store_add(&err, store, name, dtype, 2, (int64_t[]){rows, columns}, &t));
  check_ok(gh_tensor_write_f32(&err, device, t, values));
  return t;
}

/* got[i][j] against sum_k a[i][k] b[k][j] (a (rows, inner), b transposed if it is (columns, inner)), relative to the
 * sum of the terms' magnitudes. */
static void expect_product(const char *what, const float *got, const float *a, const float *b, int rows, int columns,
                           int inner, bool a_turned, bool b_turned, double tolerance) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) {
      double want = 0, size = 0;
      for (int k = 0; k < inner; k++) {
        double term = (double)(a_turned ? a[k * rows + i] : a[i * inner + k]);
        term *= (double)(b_turned ? b[j * inner + k] : b[k * columns + j]);
        want += term;
        size += fabs(term);
      }
      double off = fabs((double)got[i * columns + j] - want);
      if (!(off <= tolerance * size)) fail_msg("%s[%d][%d]: %g of %g", what, i, j, off, size);
    }
}

/* Feeds the identity through both factors: the result is up x down, of float32 factors in narrow arithmetic.
 * `tolerance`: of that; a number's rounding is that of the product between. */
static void check_factors(const char *shape, gh_dtype type, double factor, double tolerance) {
  static float zeros[IN * IN], identity[IN * IN], down[RANK * IN], up[OUT * RANK], dy[IN * OUT], y[IN * OUT],
      ddown[RANK * IN], dup[OUT * RANK];
  uint64_t state = 5;
  for (int i = 0; i < IN; i++) identity[i * IN + i] = 1;
  for (int i = 0; i < RANK * IN; i++) down[i] = (float)check_random(&state) * 0x1p-32f - 0.5f;
  for (int i = 0; i < OUT * RANK; i++) up[i] = (float)check_random(&state) * 0x1p-32f - 0.5f;
  for (int i = 0; i < IN * OUT; i++) dy[i] = (float)(check_random(&state) % 255) - 127; /* exact in bf16 */
  begin(shape);
  gh_tensor *a = matrix("down", GH_F32, RANK, IN, down), *b = matrix("up", GH_F32, OUT, RANK, up);
  check_ok(gh_store_make_trainable(&err, store, a));
  check_ok(gh_store_make_trainable(&err, store, b));
  gh_tensor *low = gh_linear(graph, matrix("x", type, IN, IN, identity), gh_halves(graph, a, false, 1, type), NULL);
  gh_tensor *plain = matrix("plain", type, OUT, IN, zeros), *x = matrix("none", type, IN, IN, zeros);
  gh_tensor *out =
      gh_linear_adapted(graph, x, plain, NULL, low, gh_halves(graph, b, true, factor, type), 1 / factor, GH_F32);
  gh_graph_keep(graph, out);
  check_ok(gh_graph_differentiate_from(graph, &out, (gh_tensor *[]){matrix("dy", GH_F32, IN, OUT, dy)}, 1));
  run();
  check_ok(gh_tensor_read(&err, device, out, y));
  check_ok(gh_tensor_read(&err, device, a->grad, ddown));
  check_ok(gh_tensor_read(&err, device, b->grad, dup));
  expect_product("y", y, down, up, IN, OUT, RANK, true, true, tolerance);
  expect_product("dup", dup, dy, down, OUT, RANK, IN, true, true, tolerance);
  expect_product("ddown", ddown, up, dy, RANK, IN, OUT, true, true,
                 gh_dtype_rounding(type) * (1 + 0x1p-7)); /* the intermediate is rounded */
  end();
}

static void test_factors_in_parts(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_factors("cpu", GH_BF16, 1, 0x1p-14);
  check_factors("gpu", GH_BF16, 1, 0x1p-14);
  if (check_has_shape("cpu")) check_factors("cpu", GH_F16, 0x1p10, 0x1p-16);
  check_factors("gpu", GH_F16, 0x1p10, 0x1p-16);
}

/* ---- mismatched types are named ---- */

static void test_mismatched_types(void **state) {
  (void)state;
  begin("gpu");
  gh_tensor *wide = stored("wide", GH_F32, 8, NULL), *narrow = stored("narrow", GH_BF16, 8, NULL);
  const int64_t shape[] = {2, 4};
  gh_tensor *a = gh_reshape(graph, wide, 2, shape), *b = gh_reshape(graph, narrow, 2, shape);
  gh_concat(graph, (gh_tensor *[]){a, b}, 2, 0);
  assert_true(gh_graph_failed(graph));
  assert_non_null(strstr(gh_graph_error(graph)->text, "concat"));
  assert_non_null(strstr(gh_graph_error(graph)->text, "is bf16"));
  end();

  begin("gpu");
  gh_layernorm(graph, stored("x", GH_BF16, 8, NULL), NULL, NULL, 1e-5, GH_BF16);
  assert_non_null(strstr(gh_graph_error(graph)->text, "input 0 must be float32"));
  end();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_update_writes_both),
      cmocka_unit_test(test_factors_in_parts),
      cmocka_unit_test(test_mismatched_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
