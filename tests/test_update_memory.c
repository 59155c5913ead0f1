/* AdamW with less memory: bf16 weights that are rounded at random, in both shapes of machine. The expected bits come
 * from the float32 update (tests/test_update.c) and the host's Philox. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "base/half.h"
#include "base/random.h"
#include "cl/philox.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;
static const gh_adamw_options options = {
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .key = {0x12345678u, 0x9abcdef0u}};

enum { MOST = 32773 }; /* beyond the elements of a work-item in the CPUs' shape */
static const int64_t sizes[] = {1, 31, 33, 64, 65, 4099, MOST};

/* Two parameters of the same values and gradients: `wide` float32, `narrow` bf16. */
typedef struct twins {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *step, *control, *gradient, *wide, *narrow;
  int64_t n;
} twins;

static gh_tensor *add(twins *o, const char *name, gh_dtype dtype, int64_t n) {
  gh_tensor *t = NULL;
  check_ok(gh_store_add(&err, o->store, name, dtype, 1, &n, &t));
  return t;
}

static void create(twins *o, const char *shape, int64_t n) {
  const char *id = getenv("GH_TEST_DEVICE");
  *o = (twins){.n = n};
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &o->device));
  check_ok(gh_store_create(&err, o->device, &o->store));
  check_ok(gh_graph_create(&err, o->device, &o->graph));
  o->step = add(o, "step", GH_U32, STEP_WORDS);
  o->control = add(o, "control", GH_U32, CONTROL_WORDS);
  o->gradient = add(o, "g", GH_F32, n);
  o->wide = add(o, "wide", GH_F32, n);
  o->narrow = add(o, "narrow", GH_BF16, n);
  gh_adamw(o->graph, o->wide, o->gradient, add(o, "m0", GH_F32, n), add(o, "v0", GH_F32, n), o->step, o->control,
           options);
  gh_adamw(o->graph, o->narrow, o->gradient, add(o, "m1", GH_F32, n), add(o, "v1", GH_F32, n), o->step, o->control,
           options);
  check_ok(gh_graph_plan(&err, o->graph));
}

static void destroy(twins *o) {
  gh_graph_free(o->graph);
  gh_store_free(o->store);
  gh_device_close(o->device);
}

static void run(twins *o, uint64_t t, double rate, float clip, uint32_t bad) {
  const float numbers[] = {(float)rate, (float)(1 / (1 - pow(options.beta1, (double)t))),
                           (float)(1 / (1 - pow(options.beta2, (double)t)))};
  uint32_t step[STEP_WORDS] = {0}, control[CONTROL_WORDS] = {0};
  memcpy(step + STEP_LEARNING_RATE, numbers, sizeof numbers);
  step[STEP_UPDATE_LO] = (uint32_t)t;
  step[STEP_UPDATE_HI] = (uint32_t)(t >> 32);
  memcpy(control + CONTROL_CLIP, &clip, sizeof clip);
  control[CONTROL_BAD] = bad;
  check_ok(gh_tensor_write(&err, o->device, o->step, step));
  check_ok(gh_tensor_write(&err, o->device, o->control, control));
  check_ok(gh_graph_run(&err, o->graph));
}

/* Both start from bf16 numbers. */
static void set_weights(twins *o, const float *values) {
  check_ok(gh_tensor_write_f32(&err, o->device, o->narrow, values));
  check_ok(gh_tensor_write(&err, o->device, o->wide, values));
}

static uint32_t bits_of(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static uint16_t rounded(float value, uint64_t update, int64_t element) {
  const uint32_t word = gh_word_at(options.key[0], options.key[1], update, (uint64_t)element);
  const uint32_t bits = bits_of(value), rest = bits & 0xffffu;
  return (uint16_t)((bits >> 16) + (rest + (word & 0xffffu) > 0xffffu));
}

static float weights[MOST], gradients[MOST], wide[MOST];
static uint16_t narrow[MOST], unchanged[MOST];

static float uniform(uint64_t *state) { return (float)check_random(state) * 0x1p-30f - 1; } /* of [-1, 1) */

static void draw(int64_t n, uint64_t seed) {
  uint64_t state = seed;
  for (int64_t i = 0; i < n; i++) weights[i] = gh_bf16_to_f32(gh_f32_to_bf16(0.1f * uniform(&state)));
  for (int64_t i = 0; i < n; i++) gradients[i] = uniform(&state);
}

/* Three updates, each from the weights that the one before left, and one that must change nothing. */
static void check_bits(const char *shape, int64_t n) {
  static const uint64_t updates[] = {1, 2, UINT64_C(0x100000007)};
  twins o;
  int moved = 0, up = 0;
  create(&o, shape, n);
  draw(n, (uint64_t)n);
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
  for (size_t k = 0; k < GH_COUNT(updates); k++) {
    run(&o, updates[k], 1e-3, 0.25f, 0);
    check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
    check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
    for (int64_t i = 0; i < n; i++) {
      const uint16_t want = rounded(wide[i], updates[k], i);
      if (narrow[i] != want)
        fail_msg("%s shape, update %d, %lld of %lld: %a is rounded to %04x, expected %04x", shape, (int)k, (long long)i,
                 (long long)n, (double)wide[i], narrow[i], want);
      up += narrow[i] != (uint16_t)(bits_of(wide[i]) >> 16);
      moved += gh_bf16_to_f32(narrow[i]) != weights[i];
      weights[i] = gh_bf16_to_f32(narrow[i]);
    }
    check_ok(gh_tensor_write(&err, o.device, o.wide, weights));
  }
  if (n > 4000 && !(moved > 2 * n && up > n && up < 2 * n)) /* of three updates, half are rounded up */
    fail_msg("of %lld numbers, %d moved and %d were rounded up in three updates", (long long)n, moved, up);
  run(&o, 4, 1e-3, 1, 1);
  check_ok(gh_tensor_read(&err, o.device, o.narrow, unchanged));
  assert_memory_equal(unchanged, narrow, (size_t)n * sizeof *narrow);
  destroy(&o);
}

static void test_the_bits(void **state) {
  (void)state;
  for (size_t i = 0; i < GH_COUNT(sizes); i++) {
    static uint16_t first[MOST];
    check_bits("gpu", sizes[i]);
    memcpy(first, narrow, sizeof first);
    if (!check_has_shape("cpu")) continue;
    check_bits("cpu", sizes[i]);
    assert_memory_equal(first, narrow, (size_t)sizes[i] * sizeof *narrow);
  }
}

static double mean(const uint16_t *values, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)gh_bf16_to_f32(values[i]);
  return sum / (double)n;
}

/* Many steps that are each a small part of the distance between two bf16 numbers: rounding to nearest would undo every
 * one of them. On average the weights follow the float32 ones. */
static void check_mean(const char *shape, float start, float gradient) {
  enum { N = 8192, UPDATES = 40 };
  const double apart = (double)(gh_bf16_to_f32((uint16_t)((bits_of(start) >> 16) + 1)) - start),
               rate = fabs(apart) / 17;
  twins o;
  create(&o, shape, N);
  for (int i = 0; i < N; i++) weights[i] = start;
  for (int i = 0; i < N; i++) gradients[i] = gradient;
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
  for (int t = 1; t <= UPDATES; t++) run(&o, (uint64_t)t, rate, 1, 0);
  check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
  check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
  const double moved = (double)(wide[0] - start), error = mean(narrow, N) - (double)wide[0];
  assert_true(fabs(moved) > 2 * fabs(apart));
  /* each update adds a variance of at most p (1 - p) with p = 1/17, in units of the distance */
  const double sigma = fabs(apart) * sqrt(UPDATES * (1.0 / 17) * (16.0 / 17) / N);
  if (!(fabs(error) <= 4 * sigma))
    fail_msg("%s shape: the mean is %g beside its value, which is %.1f standard deviations", shape, error,
             error / sigma);
  destroy(&o);
}

static void test_the_mean(void **state) {
  (void)state;
  const char *const shapes[] = {"cpu", "gpu"};
  for (int i = 0; i < 2; i++) {
    if (!check_has_shape(shapes[i])) continue;
    check_mean(shapes[i], 1.5f, 1);
    check_mean(shapes[i], -0.0234375f, 0.001f);
  }
}

static void test_wrong_uses_are_named(void **state) {
  (void)state;
  twins o;
  create(&o, "gpu", 33);
  gh_graph *g;
  gh_tensor *half = add(&o, "half", GH_BF16, 33), *m = gh_store_find(o.store, "m0");
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_adamw(g, o.wide, o.gradient, half, m, o.step, o.control, options);
  check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, "input 2 is not float32");
  gh_graph_free(g);
  destroy(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_bits),
      cmocka_unit_test(test_the_mean),
      cmocka_unit_test(test_wrong_uses_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
