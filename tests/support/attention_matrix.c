#include "support/attention_matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "base/log.h"
#include "ops/check/check.h"
#include "ops/ops.h"
#include "support/check.h"
#include "train/frozen_choices.h"

enum { Q = ATTENTION_Q, K = ATTENTION_K, V = ATTENTION_V, DOUT = ATTENTION_DOUT, INPUTS = ATTENTION_INPUTS };
enum { RESULTS = ATTENTION_RESULTS };

static gh_error err;
static gh_device *device;

static const attention_matrix_unit *unit;
static gh_dtype narrow = GH_BF16; /* what is tested */

static gh_device *open_device(void) {
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *d = NULL;
  check_ok(gh_device_open(&err, id ? id : "auto", &d));
  if (!gh_attention_unit_of(&d->info)) check_ok(gh_choice_plant(&err, d, &gh_attention_kind, &unit->emulated.base));
  return d;
}

static int begin(void **context) {
  (void)context;
  setenv("GH_KERNEL_SHAPE", unit->shape == GH_SHAPE_CPU ? "cpu" : "gpu", 1);
  device = open_device();
  return 0;
}
static int end(void **context) {
  (void)context;
  gh_device_close(device);
  device = NULL;
  return 0;
}

static bool is_chosen_for(gh_device *d, int64_t size, int64_t hidden) {
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, narrow, 1, 5, 5, 1, size, hidden, false};
  bool matrix = false;
  check_ok(gh_attention_choose(&err, d, &desc, &matrix, NULL));
  return matrix;
}
static bool is_chosen(gh_device *d, int64_t size) { return is_chosen_for(d, size, 0); }

/* ---- running ---- */

/* As stored on the device. */
static void round_inputs(const attention_sizes *s, float **x) {
  for (int i = 0; i < INPUTS; i++)
    for (int64_t k = 0; k < attention_elements(s, i); k++) x[i][k] = gh_widen(narrow, gh_narrow(narrow, x[i][k]));
}

static int count_launches(const gh_graph *g, const char *part) {
  int count = 0;
  for (int i = 0; i < gh_graph_launch_count(g); i++) count += strstr(gh_graph_launch_note(g, i).name, part) != NULL;
  return count;
}

static bool wanted[INPUTS] = {true, true, true}; /* gradients */

/* Results that are not wanted become NULL. low: NULL, or receives the rounding error of out. */
static void run(const attention_sizes *s, float *const *x, float **result, float *low) {
  gh_store *store = NULL;
  gh_graph *g = NULL;
  gh_tensor *t[INPUTS], *in[INPUTS];
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_graph_create(&err, device, &g));
  for (int i = 0; i < INPUTS; i++) {
    int64_t dims[4];
    attention_shape(s, i, dims);
    check_ok(gh_store_add(&err, store, attention_input_names[i], GH_F32, 4, dims, &t[i]));
    if (wanted[i]) check_ok(gh_store_make_trainable(&err, store, t[i]));
    check_ok(gh_tensor_write(&err, device, t[i], x[i]));
    in[i] = gh_cast(g, t[i], narrow);
  }
  gh_tensor *out = gh_attention(g, in[Q], in[K], in[V], attention_mask(store, device, s), s->scale, s->causal);
  if (!out) fail_msg("%s", gh_graph_error(g)->text);
  gh_tensor *rest = out->producer->out[3];
  gh_graph_keep(g, out);
  if (low) gh_graph_keep(g, rest);
  check_ok(gh_graph_differentiate_from(g, &out, &in[DOUT], 1));
  check_ok(gh_graph_plan(&err, g));
  assert_int_equal(count_launches(g, "attention_matrix_"), 1 + wanted[Q] + (wanted[K] || wanted[V]));
  check_ok(gh_graph_run(&err, g));
  check_ok(device->backend->finish(&err, device));
  gh_tensor *from[RESULTS] = {out, t[Q]->grad, t[K]->grad, t[V]->grad};
  for (int i = 0; i < RESULTS; i++) {
    result[i] = NULL;
    if (i != ATTENTION_OUT && !wanted[i - 1]) continue; /* dq, dk, dv are in the order of q, k, v */
    result[i] = malloc((size_t)attention_elements(s, attention_result_side[i]) * sizeof(float));
    check_ok(gh_tensor_read_f32(&err, device, from[i], result[i]));
  }
  if (low) check_ok(gh_tensor_read_f32(&err, device, rest, low));
  gh_graph_free(g);
  gh_store_free(store);
}

static void free_all(float **x, int count) {
  for (int i = 0; i < count; i++) free(x[i]);
}

/* ---- against float64 ---- */

/* An error of bfloat16's 2^-9 or float16's 2^-12 per element, once from rounding the weights or their gradients and
 * once from rounding the result: root mean squares stay below twice that; single elements may be sums of many such
 * errors. */
#define MOST       1
#define MOST_WORST 12.8

static void compare(const attention_sizes *s, float *const *got, double *const *want) {
  const double unit_error = gh_dtype_rounding(narrow);
  for (int i = 0; i < RESULTS; i++) {
    double worst, error = attention_error(s, i, got[i], want[i], &worst);
    if (!(error <= MOST * unit_error) || !(worst <= MOST_WORST * unit_error))
      fail_msg("%lld x %lld x %lld%s: %s is off by %.3g, one element by %.3g", (long long)s->nq, (long long)s->nk,
               (long long)s->size, s->causal ? ", causal" : "", attention_result_names[i], error, worst);
  }
}

static const attention_sizes cases[] = {
    {1, 1, 1, 1, 64, false, 0.125, 0, 0},
    {1, 31, 33, 2, 64, false, 0.3, 0, 0},
    {2, 33, 31, 2, 72, true, 0.25, 0, 0},
    {1, 64, 65, 1, 80, false, 0.2, 0, 0},
    {1, 65, 64, 1, 128, true, 0.2, 0, 0},
    {2, 131, 137, 2, 64, true, 0.25, 0, 0},
    {1, 137, 131, 1, 72, false, 0.2, 0, 0},
    {1, 129, 1, 2, 80, false, 0.5, 0, 0},
    {1, 1, 129, 2, 128, true, 0.2, 0, 0},
    {1, 113, 211, 3, 128, false, 0.1, 0, 0},
    /* a negative scale; queries that see all keys; keys that no query sees */
    {1, 577, 67, 1, 80, true, -0.15, 0, 0},
    {1, 67, 577, 1, 72, true, 0.15, 0, 0},
    {1, 577, 577, 1, 64, false, 0.125, 0, 0},
    /* keys hidden by a mask; all but one; and later ones */
    {2, 65, 197, 2, 64, false, 0.2, 196, 70},
    {2, 131, 197, 1, 72, false, 0.2, 197, 100},
    {2, 137, 131, 2, 80, true, 0.2, 101, 50},
    {1, 33, 65, 2, 128, false, 0.15, 64, 90},
};

static void check_against_float64(const attention_sizes *s, bool twice) {
  float *x[INPUTS], *got[RESULTS], *again[RESULTS];
  double *want[RESULTS];
  attention_fill(s, x);
  attention_spoil(s, x);
  round_inputs(s, x);
  attention_reference(s, x, want);
  run(s, x, got, NULL);
  compare(s, got, want);
  attention_check_hidden(s, got);
  if (twice) {
    run(s, x, again, NULL);
    for (int r = 0; r < RESULTS; r++)
      assert_memory_equal(got[r], again[r], (size_t)attention_elements(s, attention_result_side[r]) * sizeof(float));
    free_all(again, RESULTS);
  }
  for (int r = 0; r < RESULTS; r++) free(want[r]);
  free_all(got, RESULTS);
  free_all(x, INPUTS);
}

static void test_against_float64(void **context) {
  (void)context;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) check_against_float64(&cases[c], c == 5);
  for (int c = 0; c < unit->more_count; c++) check_against_float64(&unit->more[c], c == 0);
}

/* The same in float16: each size, with and without a mask. */
static void test_float16_against_float64(void **context) {
  (void)context;
  static const int some[] = {4, 6, 13, 15};
  narrow = GH_F16;
  if (unit->shape == GH_SHAPE_CPU) assert_false(is_chosen(device, 64));
  for (size_t c = 0; unit->shape == GH_SHAPE_GPU && c < GH_COUNT(some); c++)
    check_against_float64(&cases[some[c]], c == 0);
  narrow = GH_BF16;
}

/* A key whose weights are about 1e-6, far below float16's normal numbers, and gradients as a loss scale makes them: its
 * dv is as exact as any other. */
static void test_small_weights(void **context) {
  (void)context;
  enum { KEY = 5, SIZE = 72 };
  static const attention_sizes s = {1, 70, 67, 1, SIZE, false, 1, 0, 0};
  if (unit->shape == GH_SHAPE_CPU) return;
  float *x[INPUTS], *got[RESULTS];
  double *want[RESULTS], squares = 0, errors = 0;
  narrow = GH_F16;
  attention_fill(&s, x);
  for (int64_t i = 0; i < attention_elements(&s, Q); i++) x[Q][i] = 0.5f + 0.01f * x[Q][i], x[DOUT][i] *= 4096;
  for (int64_t i = 0; i < attention_elements(&s, K); i++) x[K][i] *= 0.1f;
  for (int64_t i = KEY * SIZE; i < (KEY + 1) * SIZE; i++) x[K][i] -= 0.3f;
  round_inputs(&s, x);
  attention_reference(&s, x, want);
  run(&s, x, got, NULL);
  compare(&s, got, want);
  for (int64_t i = KEY * SIZE; i < (KEY + 1) * SIZE; i++) {
    const double error = (double)got[ATTENTION_DV][i] - want[ATTENTION_DV][i];
    squares += want[ATTENTION_DV][i] * want[ATTENTION_DV][i], errors += error * error;
  }
  assert_true(squares > 0 && sqrt(squares / SIZE) < 0.1); /* of results near 100 */
  if (!(sqrt(errors / squares) <= 0x1p-11)) fail_msg("its dv is off by %.3g", sqrt(errors / squares));
  for (int r = 0; r < RESULTS; r++) free(want[r]);
  free_all(got, RESULTS);
  free_all(x, INPUTS);
  narrow = GH_BF16;
}

/* Two keys have equal weights, so their mean is exact in 16 bits: out plus its rounding error. */
static void test_rounding_is_kept(void **context) {
  (void)context;
  static const attention_sizes s = {1, 3, 2, 1, 72, false, 0.5, 0, 0};
  float *x[INPUTS], *got[RESULTS], low[3 * 72];
  attention_fill(&s, x);
  round_inputs(&s, x);
  memset(x[Q], 0, sizeof low);
  run(&s, x, got, low);
  int kept = 0;
  for (int i = 0; i < 3 * 72; i++) {
    const float want = 0.5f * (x[V][i % 72] + x[V][72 + i % 72]);
    if (!(fabsf(got[ATTENTION_OUT][i] + low[i] - want) <= 0x1p-16f * fabsf(want)))
      fail_msg("element %d: %g and %g, expected %g", i, (double)got[ATTENTION_OUT][i], (double)low[i], (double)want);
    kept += low[i] != 0;
  }
  assert_true(kept > 72);
  free_all(got, RESULTS);
  free_all(x, INPUTS);
}

/* A gradient computed alone equals the one computed with the others. */
static void test_single_gradients(void **context) {
  (void)context;
  static const attention_sizes s = {1, 35, 37, 1, 72, false, 0.2, 0, 0};
  float *x[INPUTS], *all[RESULTS], *one[RESULTS];
  attention_fill(&s, x);
  run(&s, x, all, NULL);
  for (int i = Q; i <= V; i++) {
    for (int k = Q; k <= V; k++) wanted[k] = k == i;
    run(&s, x, one, NULL);
    assert_memory_equal(one[1 + i], all[1 + i], (size_t)attention_elements(&s, i) * sizeof(float));
    assert_memory_equal(one[ATTENTION_OUT], all[ATTENTION_OUT], (size_t)attention_elements(&s, Q) * sizeof(float));
    free_all(one, RESULTS);
  }
  wanted[Q] = wanted[K] = wanted[V] = true;
  free_all(all, RESULTS);
  free_all(x, INPUTS);
}

/* Forward only, as for embedding: keeps nothing for a backward pass. */
static void run_forward(const attention_sizes *s, float *const *x, float *to) {
  gh_store *store = NULL;
  gh_graph *g = NULL;
  gh_tensor *in[INPUTS];
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_graph_create(&err, device, &g));
  for (int i = Q; i <= V; i++) {
    int64_t dims[4];
    gh_tensor *t;
    attention_shape(s, i, dims);
    check_ok(gh_store_add(&err, store, attention_input_names[i], GH_F32, 4, dims, &t));
    check_ok(gh_tensor_write(&err, device, t, x[i]));
    in[i] = gh_cast(g, t, narrow);
  }
  gh_tensor *out = gh_attention(g, in[Q], in[K], in[V], attention_mask(store, device, s), s->scale, s->causal);
  gh_graph_keep(g, out);
  check_ok(gh_graph_plan(&err, g));
  assert_int_equal(count_launches(g, "attention_matrix_"), 1);
  check_ok(gh_graph_run(&err, g));
  check_ok(gh_tensor_read_f32(&err, device, out, to));
  gh_graph_free(g);
  gh_store_free(store);
}

static void test_forward_alone(void **context) {
  (void)context;
  for (int i = 0; gh_attention_sizes[i]; i++) {
    const attention_sizes s = {1, 77, 79, 1, gh_attention_sizes[i], false, 0.2, 0, 0};
    const size_t bytes = (size_t)attention_elements(&s, Q) * sizeof(float);
    float *x[INPUTS], *both[RESULTS], *alone = malloc(bytes);
    attention_fill(&s, x);
    run(&s, x, both, NULL);
    run_forward(&s, x, alone);
    assert_memory_equal(alone, both[ATTENTION_OUT], bytes);
    free(alone);
    free_all(both, RESULTS);
    free_all(x, INPUTS);
  }
}

/* The number of NaN in each result after replacing one element (or every key): PyTorch's counts. */
static void test_nan_propagates(void **context) {
  (void)context;
  static const attention_sizes s = {1, 70, 70, 1, 64, false, 0.4, 0, 0};
  enum { ALL = 70 * 64 };
  static const struct {
    int input;
    float value;
    bool everywhere;
    int nans[RESULTS];
  } plants[] = {{Q, NAN, false, {64, 64, ALL, ALL}},        {K, NAN, false, {ALL, ALL, ALL, ALL}},
                {V, NAN, false, {70, ALL, ALL, 0}},         {DOUT, NAN, false, {0, 64, ALL, 70}},
                {K, INFINITY, false, {ALL, ALL, ALL, ALL}}, {K, -INFINITY, true, {ALL, ALL, ALL, ALL}},
                {K, -INFINITY, false, {0, 70, 0, 0}}};
  for (size_t c = 0; c < sizeof plants / sizeof *plants; c++) {
    float *x[INPUTS], *got[RESULTS];
    attention_fill(&s, x);
    for (int64_t k = 0; k < ALL; k++) {
      x[Q][k] = fabsf(x[Q][k]) + 0.1f; /* so that an infinite key gives infinite scores of one sign */
      if (plants[c].everywhere || k == 12) x[plants[c].input][k] = plants[c].value;
    }
    run(&s, x, got, NULL);
    for (int r = 0; r < RESULTS; r++) {
      int nans = 0;
      for (int64_t k = 0; k < ALL; k++) nans += isnan(got[r][k]) != 0;
      if (nans != plants[c].nans[r])
        fail_msg("plant %d, result %d: %d NaN, expected %d", (int)c, r, nans, plants[c].nans[r]);
    }
    free_all(x, INPUTS);
    free_all(got, RESULTS);
  }
}

/* A sample whose every key is hidden gives NaN, and no other one does. A mask of zeros changes no bit. */
static void test_masks_at_the_ends(void **context) {
  (void)context;
  static const attention_sizes plain = {2, 35, 67, 2, 72, false, 0.2, 0, 0},
                               none = {2, 35, 67, 2, 72, false, 0.2, 67, 0},
                               all = {2, 35, 67, 2, 72, false, 0.2, 67, ATTENTION_HIDES_LAST};
  float *x[INPUTS], *got[RESULTS], *masked[RESULTS];
  const int64_t half = attention_elements(&plain, Q) / 2;
  attention_fill(&plain, x);
  run(&plain, x, got, NULL);
  run(&none, x, masked, NULL);
  for (int r = 0; r < RESULTS; r++)
    assert_memory_equal(got[r], masked[r],
                        (size_t)attention_elements(&plain, attention_result_side[r]) * sizeof(float));
  free_all(masked, RESULTS);
  run(&all, x, masked, NULL);
  assert_memory_equal(got[0], masked[0], (size_t)half * sizeof(float));
  for (int64_t k = half; k < 2 * half; k++) assert_true(isnan(masked[0][k]));
  free_all(masked, RESULTS);
  free_all(got, RESULTS);
  free_all(x, INPUTS);
}

/* Visible scores near -144, beside which a hidden key's score of 0 would overflow, and infinity times its 0 be NaN. */
static void test_low_scores(void **context) {
  (void)context;
  static const attention_sizes s = {1, 35, 67, 1, 72, false, 2, 67, 50};
  float *x[INPUTS], *got[RESULTS];
  attention_fill(&s, x);
  for (int64_t i = 0; i < attention_elements(&s, Q); i++) x[Q][i] = 1 + 0.1f * x[Q][i];
  for (int64_t i = 0; i < attention_elements(&s, K); i++) x[K][i] = -1 + 0.1f * x[K][i];
  attention_spoil(&s, x);
  run(&s, x, got, NULL);
  for (int r = 0; r < RESULTS; r++)
    for (int64_t i = 0; i < attention_elements(&s, attention_result_side[r]); i++) assert_true(isfinite(got[r][i]));
  free_all(got, RESULTS);
  free_all(x, INPUTS);
}

/* ---- the op's fixtures ---- */

static int results_seen, results_failed;
static void see(void *context, const gh_check_result *r) {
  (void)context;
  results_seen++;
  if (r->passed) return;
  results_failed++;
  print_error("%s %s %s: error %.3g, tolerance %.3g %s\n", r->op, r->test, r->tensor, r->error, r->tolerance, r->note);
}

static void test_fixtures(void **context) {
  (void)context;
  const gh_check_listener listener = {.result = see};
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/ops/attention.safetensors"));
  check_ok(gh_check_file(&err, device, file, (gh_check_options){.narrow = GH_BF16}, &listener));
  assert_int_equal(results_failed, 0);
  assert_true(results_seen > 100);
  for (int i = 0; gh_attention_sizes[i]; i++) assert_true(is_chosen(device, gh_attention_sizes[i]));
  gh_safetensors_close(file);
}

/* ---- choosing ---- */

/* The device's bind with a kernel that ignores the last key or, where its name follows a "-", the mask's last number:
 * the last arguments, but for a work-item's rows, which a CPU's kernels have. */
static gh_status bind_wrong(gh_error *e, gh_device *d, const gh_kernel_id *id, const gh_grid *grid, const gh_arg *args,
                            int count, gh_launch **out) {
  gh_arg wrong[24];
  memcpy(wrong, args, (size_t)count * sizeof *args);
  const char *part = getenv("GH_TEST_WRONG");
  const bool mask = *part == '-';
  const int last = count - 1 - (unit->shape == GH_SHAPE_CPU);
  if (strstr(id->name, part + mask)) wrong[mask ? last : last - 1].value.i64--;
  gh_backend plain = *d->backend;
  const gh_backend *mine = d->backend;
  plain.bind_kernel = device->backend->bind_kernel;
  d->backend = &plain;
  gh_status status = plain.bind_kernel(e, d, id, grid, wrong, count, out);
  d->backend = mine;
  return status;
}

static void test_wrong_kernels_are_not_used(void **context) {
  (void)context;
  static const char *const wrong[] = {"attention_matrix_forward", "attention_matrix_backward_q",
                                      "attention_matrix_backward_kv"};
  const char *own = gh_attention_unit_of(&device->info), *defines = own ? own : unit->emulated.unit;
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, GH_BF16, 1, 5, 5, 1, 64, 0, false};
  gh_device *d = open_device();
  gh_backend planted = *d->backend;
  const gh_backend *right = d->backend;
  planted.bind_kernel = bind_wrong;
  d->backend = &planted;
  for (int i = 0; i < 3; i++) {
    setenv("GH_TEST_WRONG", wrong[i], 1);
    check_fails(gh_attention_check(&err, d, GH_BF16, 64, false, defines), GH_ERROR_DEVICE, "with the shared kernel");
    check_fails(gh_attention_check(&err, d, GH_BF16, 64, true, defines), GH_ERROR_DEVICE, "with the shared kernel");
    char mask[40];
    snprintf(mask, sizeof mask, "-%s", wrong[i]);
    setenv("GH_TEST_WRONG", mask, 1);
    check_ok(gh_attention_check(&err, d, GH_BF16, 64, false, defines));
    check_fails(gh_attention_check(&err, d, GH_BF16, 64, true, defines), GH_ERROR_DEVICE, "with the shared kernel");
  }
  setenv("GH_TEST_WRONG", wrong[2], 1);
  gh_log_set_level(GH_LOG_QUIET);
  assert_false(is_chosen(d, 64));
  assert_int_equal(gh_choice_count(d, &gh_attention_kind), 1);
  const char *key, *provider;
  gh_choice_at(d, &gh_attention_kind, 0, &key, &provider);
  assert_string_equal(key, "size=64 bf16");
  assert_string_equal(provider, "shared");
  check_ok(gh_choice_force(&err, d, &gh_attention_kind, "matrix"));
  bool matrix;
  check_fails(gh_attention_choose(&err, d, &desc, &matrix, NULL), GH_ERROR_DEVICE, "wrong on");
  gh_log_set_level(GH_LOG_INFO);
  d->backend = right;
  gh_device_close(d);
}

static void test_choosing(void **context) {
  (void)context;
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, GH_BF16, 1, 5, 5, 1, 64, 0, false};
  bool matrix;
  gh_device *d = open_device();
  assert_false(is_chosen(d, 63)); /* no such head size: nothing is chosen */
  assert_int_equal(gh_choice_count(d, &gh_attention_kind), 0);
  check_ok(gh_choice_freeze(&err, d, &gh_attention_kind, "size=64 bf16", "shared"));
  assert_false(is_chosen(d, 64));
  check_ok(gh_choice_force(&err, d, &gh_attention_kind, "matrix"));
  check_fails(gh_attention_choose(&err, d, &desc, &matrix, NULL), GH_ERROR_ARGUMENT, "the run's plan has shared");
  assert_true(is_chosen(d, 80));
  check_ok(gh_choice_force(&err, d, &gh_attention_kind, NULL)); /* what was frozen is back */
  assert_false(is_chosen(d, 64));
  assert_true(is_chosen(d, 72));
  assert_true(is_chosen_for(d, 64, 5)); /* with a mask it is another choice */
  check_ok(gh_choice_freeze(&err, d, &gh_attention_kind, "size=72 bf16 masked", "shared"));
  assert_false(is_chosen_for(d, 72, 1));
  assert_true(is_chosen(d, 72));
  if (unit->shape == GH_SHAPE_GPU) { /* and so it is in float16 */
    check_ok(gh_choice_freeze(&err, d, &gh_attention_kind, "size=128 f16", "shared"));
    assert_true(is_chosen(d, 128));
    narrow = GH_F16;
    assert_false(is_chosen(d, 128));
    assert_true(is_chosen(d, 72));
    narrow = GH_BF16;
  }
  check_fails(gh_choice_freeze(&err, d, &gh_attention_kind, "size=64 f32", "shared"), GH_ERROR_ARGUMENT, "size=64");
  check_fails(gh_choice_freeze(&err, d, &gh_attention_kind, "size=65 bf16", "shared"), GH_ERROR_ARGUMENT, "size=65");
  check_fails(gh_choice_freeze(&err, d, &gh_attention_kind, "size=64 bf16", "nobody"), GH_ERROR_ARGUMENT, "nobody");
  check_ok(gh_choice_force(&err, d, &gh_attention_kind, "shared"));
  assert_false(is_chosen(d, 64));
  gh_device_close(d);

  setenv("GH_ATTENTION", "shared", 1);
  d = open_device();
  assert_false(is_chosen(d, 64));
  gh_device_close(d);
  setenv("GH_ATTENTION", "nothing", 1);
  gh_device *refused = NULL;
  check_ok(gh_device_open(&err, getenv("GH_TEST_DEVICE") ? getenv("GH_TEST_DEVICE") : "auto", &refused));
  check_fails(gh_attention_choose(&err, refused, &desc, &matrix, NULL), GH_ERROR_ARGUMENT, "nothing");
  gh_device_close(refused);
  unsetenv("GH_ATTENTION");

  d = open_device();
  if (unit->shape == GH_SHAPE_CPU) /* a device on which the kernels do not fit */
    d->info.shape = GH_SHAPE_GPU;
  else
    d->info.local_bytes = 32 * 1024;
  assert_false(is_chosen(d, 64));
  assert_int_equal(gh_choice_count(d, &gh_attention_kind), 0);
  check_ok(gh_choice_freeze(&err, d, &gh_attention_kind, "size=64 bf16", "matrix"));
  check_fails(gh_attention_choose(&err, d, &desc, &matrix, NULL), GH_ERROR_UNSUPPORTED, "does not support");
  gh_device_close(d);
}

/* A run keeps its choice: plan.json stores it, and a resumed run reads it from there. */
static void test_plan_keeps_the_choice(void **context) {
  (void)context;
  gh_json *plan = NULL;
  const char *provider = "";
  gh_device *d = open_device();
  check_ok(gh_choice_freeze(&err, d, &gh_attention_kind, "size=72 bf16", "shared"));
  assert_true(is_chosen(d, 64));
  check_ok(gh_choices_describe(&err, d, 1, &plan));
  const gh_json *attention = gh_json_member(plan, "attention");
  assert_non_null(attention);
  check_ok(gh_json_get_string(&err, attention, "size=64 bf16", &provider));
  assert_string_equal(provider, "matrix");
  gh_device_close(d);
  d = open_device();
  check_ok(gh_choices_freeze(&err, d, plan));
  assert_false(is_chosen(d, 72));
  assert_int_equal(gh_choice_count(d, &gh_attention_kind), 2);
  gh_json_free(plan);
  gh_device_close(d);
}

int attention_matrix_tests(const attention_matrix_unit *under_test) {
  unit = under_test;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_float64),
      cmocka_unit_test(test_float16_against_float64),
      cmocka_unit_test(test_small_weights),
      cmocka_unit_test(test_rounding_is_kept),
      cmocka_unit_test(test_forward_alone),
      cmocka_unit_test(test_nan_propagates),
      cmocka_unit_test(test_masks_at_the_ends),
      cmocka_unit_test(test_low_scores),
      cmocka_unit_test(test_fixtures),
      cmocka_unit_test(test_choosing),
      cmocka_unit_test(test_wrong_kernels_are_not_used),
      cmocka_unit_test(test_plan_keeps_the_choice),
      cmocka_unit_test(test_single_gradients),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
