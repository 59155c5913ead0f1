/* The update graph: gradient norm, clipping, the non-finite flag, AdamW over several replays, in both shapes. */
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

#define PARAMETERS 3
static const int64_t sizes[PARAMETERS] = {1, 33, 9001};
static const gh_adamw_options options = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};

/* A model of three parameters and the graph that updates it. */
typedef struct model {
  gh_device *device;
  gh_store *store;
  gh_tensor *w[PARAMETERS], *m[PARAMETERS], *v[PARAMETERS], *step, *control, *squares, *loss;
  gh_graph *graph;
} model;

static gh_tensor *add(model *o, const char *kind, int i, gh_dtype dtype, int64_t size) {
  char name[32];
  snprintf(name, sizeof name, "%s%d", kind, i);
  gh_tensor *t;
  check_ok(gh_store_add(&err, o->store, name, dtype, 1, &size, &t));
  return t;
}

static void create(model *o, const char *shape, double max_norm) {
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &o->device));
  check_ok(gh_store_create(&err, o->device, &o->store));
  o->step = add(o, "step", 0, GH_U32, STEP_WORDS);
  o->control = add(o, "control", 0, GH_U32, CONTROL_WORDS);
  o->squares = add(o, "squares", 0, GH_F32, PARAMETERS);
  o->loss = add(o, "loss", 0, GH_F32, 1);
  check_ok(gh_graph_create(&err, o->device, &o->graph));
  for (int i = 0; i < PARAMETERS; i++) {
    o->w[i] = add(o, "w", i, GH_F32, sizes[i]);
    o->m[i] = add(o, "m", i, GH_F32, sizes[i]);
    o->v[i] = add(o, "v", i, GH_F32, sizes[i]);
    check_ok(gh_store_make_trainable(&err, o->store, o->w[i]));
    gh_square_sum(o->graph, o->w[i]->grad, o->squares, i);
  }
  gh_clip_control(o->graph, o->squares, o->loss, o->control, NULL, max_norm);
  for (int i = 0; i < PARAMETERS; i++)
    gh_adamw(o->graph, o->w[i], o->w[i]->grad, o->m[i], o->v[i], o->step, o->control, options);
  check_ok(gh_graph_plan(&err, o->graph));
}

static void destroy(model *o) {
  gh_graph_free(o->graph);
  gh_store_free(o->store);
  gh_device_close(o->device);
}

static void run(model *o) {
  check_ok(gh_graph_run(&err, o->graph));
  check_ok(o->device->backend->finish(&err, o->device));
}

static void set_step(model *o, int t, double rate) {
  const float rate_and_biases[] = {(float)rate, (float)(1 / (1 - pow(options.beta1, t))),
                                   (float)(1 / (1 - pow(options.beta2, t)))};
  uint32_t block[STEP_WORDS] = {0};
  memcpy(block + STEP_LEARNING_RATE, rate_and_biases, sizeof rate_and_biases);
  check_ok(gh_tensor_write(&err, o->device, o->step, block));
}

static float control_float(model *o, int word) {
  uint32_t block[CONTROL_WORDS];
  float value;
  check_ok(gh_tensor_read(&err, o->device, o->control, block));
  memcpy(&value, block + word, sizeof value);
  return value;
}

static uint32_t bad_flag(model *o) {
  uint32_t block[CONTROL_WORDS];
  check_ok(gh_tensor_read(&err, o->device, o->control, block));
  return block[CONTROL_BAD];
}

/* Sets all elements to `value`, except the one at `place`. */
static void fill(model *o, gh_tensor *t, float value, int64_t place, float there) {
  int64_t n = gh_tensor_elements(t);
  float *values = malloc((size_t)n * sizeof *values);
  assert_non_null(values);
  for (int64_t i = 0; i < n; i++) values[i] = i == place ? there : value;
  check_ok(gh_tensor_write(&err, o->device, t, values));
  free(values);
}

static void near(const char *what, double got, double want, double tolerance) {
  if (!(fabs(got - want) <= tolerance * fabs(want))) fail_msg("%s is %.9g, expected %.9g", what, got, want);
}

static void check_norm(const char *shape, double max_norm, double clip) {
  model o;
  create(&o, shape, max_norm);
  fill(&o, o.w[0]->grad, 2, 0, 2); /* 4 + 33 * 9 + 9001 / 4 + 0.75 = 2552 */
  fill(&o, o.w[1]->grad, -3, 0, -3);
  fill(&o, o.w[2]->grad, 0.5f, 9000, 1);
  fill(&o, o.loss, 1.25f, 0, 1.25f);
  run(&o);
  near("the norm", (double)control_float(&o, CONTROL_NORM), sqrt(2552), 1e-6);
  near("the clip factor", (double)control_float(&o, CONTROL_CLIP), clip, 1e-6);
  assert_true(control_float(&o, CONTROL_LOSS) == 1.25f);
  assert_int_equal(bad_flag(&o), 0);
  destroy(&o);
}

static void test_norm_and_clip(void **state) {
  (void)state;
  const char *const shapes[] = {"cpu", "gpu"};
  for (int i = 0; i < 2; i++) {
    if (!check_has_shape(shapes[i])) continue;
    check_norm(shapes[i], 1, 1 / (sqrt(2552) + 1e-6));
    check_norm(shapes[i], 100, 1);
    check_norm(shapes[i], 0, 1);
  }
}

/* More tensors than a launch takes, of sizes around vectors, groups and chunks. */
static const int64_t listed[] = {1,   31,   33,   64,   65,   97,   127, 131, 257,   509, 511,
                                 513, 1021, 1031, 4095, 4096, 4097, 1,   7,   12289, 13};
enum { LISTED = sizeof listed / sizeof *listed };

static float ratio_of(int k, int64_t i) { return sinf((float)(31 * k + i % 977)); }

/* The bits of a sum do not depend on what else is in the list; any number that is not finite makes only its own sum
 * so. */
static void check_list(const char *shape) {
  model o;
  create(&o, shape, 1);
  gh_graph *g;
  gh_tensor *x[LISTED], *squares = add(&o, "listed", 0, GH_F32, LISTED), *alone = add(&o, "alone", 0, GH_F32, LISTED);
  int places[LISTED];
  float together[LISTED], apart[LISTED], *values = malloc(12289 * sizeof *values);
  assert_non_null(values);
  check_ok(gh_graph_create(&err, o.device, &g));
  for (int k = 0; k < LISTED; k++) {
    x[k] = add(&o, "x", k, GH_F32, listed[k]);
    for (int64_t i = 0; i < listed[k]; i++) values[i] = ratio_of(k, i);
    check_ok(gh_tensor_write(&err, o.device, x[k], values));
    places[k] = LISTED - 1 - k;
    gh_square_sum(g, x[k], alone, places[k]);
  }
  gh_square_sums(g, x, places, LISTED, squares);
  check_ok(gh_graph_plan(&err, g));
  assert_int_equal(gh_graph_launch_count(g), 2 * LISTED + 4);
  check_ok(gh_graph_run(&err, g));
  check_ok(gh_tensor_read(&err, o.device, squares, together));
  check_ok(gh_tensor_read(&err, o.device, alone, apart));
  assert_memory_equal(together, apart, sizeof together);
  for (int k = 0; k < LISTED; k++) {
    double want = 0;
    for (int64_t i = 0; i < listed[k]; i++) want += pow((double)ratio_of(k, i), 2);
    near("a sum of squares", (double)together[places[k]], want, 1e-5);
    for (int64_t i = 0; i < listed[k]; i++) values[i] = i == listed[k] - 1 ? (k % 2 ? NAN : -INFINITY) : 0;
    check_ok(gh_tensor_write(&err, o.device, x[k], values));
    check_ok(gh_graph_run(&err, g));
    check_ok(gh_tensor_read(&err, o.device, squares, apart));
    for (int j = 0; j < LISTED; j++) assert_true(!isfinite(apart[places[j]]) == (j <= k));
  }
  free(values);
  gh_graph_free(g);
  destroy(&o);
}

static void test_lists_of_squares(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_list("cpu");
  check_list("gpu");
}

static uint64_t digest(model *o) {
  uint64_t hash = 1469598103934665603u; /* FNV-1a over the bytes of the whole state */
  gh_tensor *const *const lists[] = {o->w, o->m, o->v};
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < PARAMETERS; i++) {
      size_t bytes = (size_t)gh_tensor_bytes(lists[k][i]);
      unsigned char *data = malloc(bytes);
      check_ok(gh_tensor_read(&err, o->device, lists[k][i], data));
      for (size_t b = 0; b < bytes; b++) hash = (hash ^ data[b]) * 1099511628211u;
      free(data);
    }
  return hash;
}

/* One non-finite number anywhere sets the flag, and the update leaves the state unchanged; the next good update
 * works. */
static void check_bad(const char *shape) {
  model o;
  create(&o, shape, 1);
  set_step(&o, 1, 1e-3);
  for (int i = 0; i < PARAMETERS; i++) {
    fill(&o, o.w[i], 1, 0, 1);
    fill(&o, o.w[i]->grad, 0.5f, 0, 0.5f);
  }
  run(&o);
  assert_int_equal(bad_flag(&o), 0);
  uint64_t before = digest(&o);
  const float values[] = {NAN, -NAN, INFINITY, -INFINITY, 3e38f};
  for (int p = 0; p < PARAMETERS; p++)
    for (int place = 0; place < 3; place++)
      for (size_t k = 0; k < GH_COUNT(values); k++) {
        const int64_t places[] = {0, sizes[p] / 2, sizes[p] - 1};
        fill(&o, o.w[p]->grad, 0.5f, places[place], values[k]);
        run(&o);
        if (bad_flag(&o) != 1)
          fail_msg("%s shape: %g at %lld of gradient %d goes unnoticed", shape, (double)values[k],
                   (long long)places[place], p);
        fill(&o, o.w[p]->grad, 0.5f, 0, 0.5f);
      }
  for (size_t k = 0; k < 4; k++) {
    fill(&o, o.loss, values[k], 0, values[k]);
    run(&o);
    assert_int_equal(bad_flag(&o), 1);
  }
  assert_true(digest(&o) == before);
  fill(&o, o.loss, 1, 0, 1);
  run(&o);
  assert_int_equal(bad_flag(&o), 0);
  assert_true(digest(&o) != before);
  destroy(&o);
}

static void test_bad_numbers_stop_the_update(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_bad("cpu");
  check_bad("gpu");
}

/* Five replays against the equations of torch.optim.AdamW in double precision (PyTorch's own numbers: the fixtures). */
static void check_adamw(const char *shape) {
  const int64_t n = sizes[2];
  double *exact[3]; /* w, m, v */
  float *g = malloc((size_t)n * sizeof *g), *w = malloc((size_t)n * sizeof *w);
  for (int k = 0; k < 3; k++) exact[k] = calloc((size_t)n, sizeof **exact);
  model o;
  create(&o, shape, 0);
  for (int64_t i = 0; i < n; i++) {
    w[i] = (float)sin((double)i);
    exact[0][i] = (double)w[i];
  }
  check_ok(gh_tensor_write(&err, o.device, o.w[2], w));
  const double rate = (double)1e-2f, b1 = options.beta1, b2 = options.beta2;
  for (int t = 1; t <= 5; t++) {
    for (int64_t i = 0; i < n; i++) {
      g[i] = (float)cos((double)(t * i)) * (i % 7 == 0 ? 1e-8f : 1);
      exact[0][i] *= 1 - rate * options.weight_decay;
      exact[1][i] += (1 - b1) * ((double)g[i] - exact[1][i]);
      exact[2][i] = b2 * exact[2][i] + (1 - b2) * (double)g[i] * (double)g[i];
      exact[0][i] -= rate / (1 - pow(b1, t)) * exact[1][i] / (sqrt(exact[2][i] / (1 - pow(b2, t))) + options.eps);
    }
    check_ok(gh_tensor_write(&err, o.device, o.w[2]->grad, g));
    set_step(&o, t, rate);
    run(&o);
  }
  check_ok(gh_tensor_read(&err, o.device, o.w[2], w));
  double error = 0, norm = 0;
  for (int64_t i = 0; i < n; i++) {
    error += pow((double)w[i] - exact[0][i], 2);
    norm += pow(exact[0][i], 2);
  }
  near("the error's root", 1 + sqrt(error / norm), 1, 3e-7);
  for (int k = 0; k < 3; k++) free(exact[k]);
  free(g);
  free(w);
  destroy(&o);
}

static void test_adamw_over_five_replays(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_adamw("cpu");
  check_adamw("gpu");
}

/* Small tensors and, beyond a block of the CPUs' kernel, large ones; neighbours are unchanged. */
static void check_zero(const char *shape) {
  static const int64_t wide[] = {7, 65536, 262144, 300001};
  model o;
  create(&o, shape, 1);
  gh_tensor *t[GH_COUNT(wide)];
  gh_graph *g;
  float *values = malloc(300001 * sizeof *values);
  assert_non_null(values);
  check_ok(gh_graph_create(&err, o.device, &g));
  for (size_t i = 0; i < GH_COUNT(wide); i++) {
    t[i] = add(&o, "wide", (int)i, GH_F32, wide[i]);
    for (int64_t k = 0; k < wide[i]; k++) values[k] = 1 + (float)k;
    check_ok(gh_tensor_write(&err, o.device, t[i], values));
    if (i != 1) gh_zero(g, t[i]);
  }
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  for (size_t i = 0; i < GH_COUNT(wide); i++) {
    check_ok(gh_tensor_read(&err, o.device, t[i], values));
    for (int64_t k = 0; k < wide[i]; k++)
      if (values[k] != (i == 1 ? 1 + (float)k : 0)) fail_msg("%s: tensor %d, element %d", shape, (int)i, (int)k);
  }
  free(values);
  gh_graph_free(g);
  destroy(&o);
}

static void test_zero(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_zero("cpu");
  check_zero("gpu");
}

static void test_wrong_uses_are_named(void **state) {
  (void)state;
  model o;
  create(&o, "gpu", 1);
  gh_graph *g;
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_square_sum(g, o.w[0], o.squares, PARAMETERS);
  assert_int_equal(gh_graph_plan(&err, g), GH_ERROR_CONFIG);
  assert_non_null(strstr(err.text, "square_sum"));
  gh_graph_free(g);
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_adamw(g, o.w[0], o.w[1]->grad, o.m[0], o.v[0], o.step, o.control, options);
  assert_int_equal(gh_graph_plan(&err, g), GH_ERROR_CONFIG);
  assert_non_null(strstr(err.text, "adamw"));
  gh_graph_free(g);
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_zero(g, gh_add(g, o.w[0], o.w[0]));
  assert_int_equal(gh_graph_plan(&err, g), GH_ERROR_CONFIG);
  assert_non_null(strstr(err.text, "zero"));
  gh_graph_free(g);
  destroy(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_norm_and_clip),           cmocka_unit_test(test_bad_numbers_stop_the_update),
      cmocka_unit_test(test_adamw_over_five_replays), cmocka_unit_test(test_zero),
      cmocka_unit_test(test_lists_of_squares),        cmocka_unit_test(test_wrong_uses_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
