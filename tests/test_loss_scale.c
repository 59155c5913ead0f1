/* Loss scaling: the update of scaled gradients is that of plain ones, an update whose gradients overflow is skipped and
 * counted, the scale falls and grows, Adam counts only the updates that were made; in both shapes. Whole trainings:
 * test_mixed.c and test_resume.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/registry.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;

enum { N = 4099 };
static const gh_adamw_options options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};

/* One parameter and the graph that updates it; `scaled`: with a scale. */
typedef struct model {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *w, *m, *v, *step, *control, *squares, *loss, *scale, *scaling;
} model;

static gh_tensor *add(model *o, const char *name, gh_dtype dtype, int rank, int64_t size) {
  gh_tensor *t;
  check_ok(gh_store_add(&err, o->store, name, dtype, rank, &size, &t));
  return t;
}

static void create(model *o, const char *shape, bool scaled) {
  const char *id = getenv("GH_TEST_DEVICE");
  *o = (model){0};
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &o->device));
  check_ok(gh_store_create(&err, o->device, &o->store));
  o->step = add(o, "step", GH_U32, 1, STEP_WORDS);
  o->control = add(o, "control", GH_U32, 1, CONTROL_WORDS);
  o->squares = add(o, "squares", GH_F32, 1, 1);
  o->loss = add(o, "loss", GH_F32, 0, 1);
  o->w = add(o, "w", GH_F32, 1, N);
  o->m = add(o, "m", GH_F32, 1, N);
  o->v = add(o, "v", GH_F32, 1, N);
  if (scaled) {
    o->scale = add(o, "loss_scale", GH_F32, 0, 1);
    o->scaling = add(o, "scaling", GH_F32, 1, SCALING_WORDS);
    check_ok(gh_store_make_working(&err, o->store, o->w, GH_F16));
  }
  check_ok(gh_store_make_trainable(&err, o->store, o->w));
  check_ok(gh_graph_create(&err, o->device, &o->graph));
  gh_square_sum(o->graph, o->w->grad, o->squares, 0);
  gh_clip_control(o->graph, o->squares, o->loss, o->control, o->scale, 1);
  if (scaled) gh_loss_scale(o->graph, o->control, o->scale, o->scaling, options.beta1, options.beta2);
  gh_adamw(o->graph, o->w, o->w->grad, o->m, o->v, o->step, o->control, options);
  check_ok(gh_graph_plan(&err, o->graph));
}

static void destroy(model *o) {
  gh_graph_free(o->graph);
  gh_store_free(o->store);
  gh_device_close(o->device);
}

static float scale_of(model *o) {
  float value = 1;
  if (o->scale) check_ok(gh_tensor_read(&err, o->device, o->scale, &value));
  return value;
}

static void set_scale(model *o, float value) { check_ok(gh_tensor_write(&err, o->device, o->scale, &value)); }

static float scaling_of(model *o, int word) {
  float words[SCALING_WORDS];
  check_ok(gh_tensor_read(&err, o->device, o->scaling, words));
  return words[word];
}

static uint32_t control_of(model *o, int word) {
  uint32_t words[CONTROL_WORDS];
  check_ok(gh_tensor_read(&err, o->device, o->control, words));
  return words[word];
}

/* An update of gradients drawn by its number, times the scale; one of them becomes `there`, if that is not 0. */
static void update(model *o, int number, float loss, float there) {
  static float gradients[N];
  uint32_t block[STEP_WORDS] = {0};
  uint64_t state = (uint64_t)number;
  const float numbers[] = {1e-3f, (float)(1 / (1 - pow(options.beta1, number))),
                           (float)(1 / (1 - pow(options.beta2, number)))};
  memcpy(block + STEP_LEARNING_RATE, numbers, sizeof numbers);
  for (int i = 0; i < N; i++) gradients[i] = ((float)check_random(&state) * 0x1p-32f - 0.5f) * scale_of(o);
  if (there != 0) gradients[N - 2] = there;
  check_ok(gh_tensor_write(&err, o->device, o->step, block));
  check_ok(gh_tensor_write(&err, o->device, o->loss, &loss));
  check_ok(gh_tensor_write(&err, o->device, o->w->grad, gradients));
  check_ok(gh_graph_run(&err, o->graph));
}

static void weights_of(model *o, float *to) {
  const gh_tensor *const all[] = {o->w, o->m, o->v};
  for (int i = 0; i < 3; i++) check_ok(gh_tensor_read(&err, o->device, all[i], to + i * N));
}

/* Powers of two change no bits; the bias corrections are computed in another way. */
static void check_equal_updates(const char *shape) {
  static float plain[3 * N], scaled[3 * N];
  model o;
  for (int i = 0; i < 2; i++) {
    create(&o, shape, i);
    if (i) set_scale(&o, LOSS_SCALE_FIRST);
    for (int number = 1; number <= 5; number++) update(&o, number, 1, 0);
    weights_of(&o, i ? scaled : plain);
    if (i) assert_int_equal(control_of(&o, CONTROL_SKIPPED), 0);
    if (i) assert_true(scaling_of(&o, SCALING_GOOD) == 5 && scaling_of(&o, SCALING_SKIPPED) == 0);
    destroy(&o);
  }
  assert_memory_equal(plain + N, scaled + N, 2 * N * sizeof *plain); /* both moments */
  for (int i = 0; i < N; i++)
    if (!(fabsf(plain[i] - scaled[i]) <= 1e-8f)) fail_msg("%d: %.9g, %.9g", i, (double)plain[i], (double)scaled[i]);
}

static void check_skips(const char *shape) {
  static float before[3 * N], after[3 * N], twin[3 * N];
  model o;
  create(&o, shape, true);
  set_scale(&o, LOSS_SCALE_FIRST);
  for (int i = 0; i < 3; i++) { /* the first three are skipped, then the first real one is Adam's first */
    const float bad[] = {INFINITY, NAN, 3e38f}; /* the last overflows as a square */
    weights_of(&o, before);
    update(&o, i + 1, 1, bad[i]);
    weights_of(&o, after);
    assert_memory_equal(before, after, sizeof before);
    assert_true(scale_of(&o) == LOSS_SCALE_FIRST / (float)(2 << i));
    assert_int_equal(control_of(&o, CONTROL_BAD), 1);
    assert_int_equal(control_of(&o, CONTROL_SKIPPED), 1);
    assert_int_equal(control_of(&o, CONTROL_SKIPS), i + 1);
  }
  update(&o, 4, 1, 0);
  weights_of(&o, after);
  assert_int_equal(control_of(&o, CONTROL_BAD), 0);
  assert_int_equal(control_of(&o, CONTROL_SKIPPED), 0);
  assert_int_equal(control_of(&o, CONTROL_SKIPS), 3);
  destroy(&o);
  create(&o, shape, true);
  set_scale(&o, 8);
  update(&o, 4, 1, 0); /* Adam's first, too */
  weights_of(&o, twin);
  assert_memory_equal(after, twin, sizeof twin);
  destroy(&o);
}

static void check_growth(const char *shape) {
  model o;
  create(&o, shape, true);
  set_scale(&o, 4);
  const float words[SCALING_WORDS] = {
      [SCALING_GOOD] = LOSS_SCALE_PERIOD - 2, [SCALING_WEIGHT1] = 1, [SCALING_WEIGHT2] = 1};
  check_ok(gh_tensor_write(&err, o.device, o.scaling, words));
  update(&o, 5000, 1, 0);
  assert_true(scale_of(&o) == 4 && scaling_of(&o, SCALING_GOOD) == LOSS_SCALE_PERIOD - 1);
  update(&o, 5001, 1, 0);
  assert_true(scale_of(&o) == 8 && scaling_of(&o, SCALING_GOOD) == 0);
  update(&o, 5002, 1, INFINITY);
  assert_true(scale_of(&o) == 4 && scaling_of(&o, SCALING_GOOD) == 0);
  assert_true(scaling_of(&o, SCALING_WEIGHT1) == 1 && scaling_of(&o, SCALING_WEIGHT2) == 1);
  destroy(&o);
}

/* What a smaller scale cannot heal is bad and changes nothing: a loss that is not finite, gradients at the least scale.
 */
static void check_hopeless(const char *shape) {
  model o;
  create(&o, shape, true);
  for (int i = 0; i < 2; i++) {
    set_scale(&o, i ? LOSS_SCALE_LEAST : 16);
    update(&o, 1, i ? 1 : NAN, i ? INFINITY : 0);
    assert_int_equal(control_of(&o, CONTROL_BAD), 1);
    assert_int_equal(control_of(&o, CONTROL_SKIPPED), 0);
    assert_true(scale_of(&o) == (i ? LOSS_SCALE_LEAST : 16) && scaling_of(&o, SCALING_SKIPPED) == 0);
  }
  destroy(&o);
}

static void in_both_shapes(void (*check)(const char *shape)) {
  if (check_has_shape("cpu")) check("cpu");
  check("gpu");
}

static void test_scaled_gradients_give_the_same_update(void **state) {
  (void)state;
  in_both_shapes(check_equal_updates);
}
static void test_overflow_is_skipped(void **state) {
  (void)state;
  in_both_shapes(check_skips);
}
static void test_growth(void **state) {
  (void)state;
  in_both_shapes(check_growth);
}
static void test_bad_updates(void **state) {
  (void)state;
  in_both_shapes(check_hopeless);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scaled_gradients_give_the_same_update),
      cmocka_unit_test(test_overflow_is_skipped),
      cmocka_unit_test(test_growth),
      cmocka_unit_test(test_bad_updates),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
