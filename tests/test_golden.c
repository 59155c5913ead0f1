/* Short training runs, update by update, against PyTorch's: both stages, from given inputs (tests/fixtures/golden).
 *
 * Tolerances come from what the same run costs PyTorch in float32. Losses and gradient norms: four times its greatest
 * error of the series, but at least 1e-5 of the value. How far a parameter moved, and where it ended, as shares of its
 * movement: AdamW turns the rounding of a tiny gradient into a whole step, for other elements in every
 * implementation, so the worst tensor may have four times the worst of PyTorch's, the median tensor four times its
 * median; at least 1e-4 and 2e-5. A wrong weight decay or epsilon moves the median. */
#include "backend/registry.h"
#include "support/check.h"

#include "base/array.h"
#include "base/file.h"
#include "method/setup.h"
#include "train/snapshot.h"
#include "train/update.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MICRO 2 /* samples per micro-batch of the inputs */

static gh_error err;
static char *run_folder;

typedef struct golden {
  const char *name;
  gh_config config;
  gh_safetensors *inputs, *want;
  gh_device *device;
  /* of a stage */
  gh_models models;
  gh_lora lora;
  gh_store *store;
  gh_step step;
  gh_update update;
  float **start; /* every trained parameter before the stage */
} golden;

static float *load(const gh_safetensors *file, const char *name, int64_t *count) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  if (!t) fail_msg("no %s", name);
  float *values = malloc((size_t)t->elements * sizeof *values);
  assert_non_null(values);
  check_ok(gh_st_read_f32(&err, t, 0, t->elements, values));
  *count = t->elements;
  return values;
}

/* ---- one stage ---- */

static void open_stage(golden *g, int stage) {
  char *denoiser = NULL;
  if (stage == 2) check_ok(gh_run_stage1_denoiser(&err, run_folder, g->config.stages[0].steps, &denoiser));
  check_ok(gh_models_open(&err, &g->models, &g->config, denoiser, NULL));
  free(denoiser);
  check_ok(gh_store_create(&err, g->device, &g->store));
  gh_setup_lora(&g->lora, &g->config, &g->models, NULL);
  gh_step_spec spec = gh_setup_step(&g->config, &g->models, stage, MICRO, stage == 2 ? &g->lora : NULL);
  spec.device = g->device;
  spec.store = g->store;
  spec.source = GH_STEP_GIVEN_IMAGES;
  check_ok(gh_step_record(&err, &spec, &g->step));
  check_ok(gh_update_record(&err, g->device, g->store, &g->config.stages[stage - 1].optimizer, &g->step, &g->update));
  check_ok(gh_graph_plan(&err, g->step.graph));
  check_ok(gh_graph_plan(&err, g->update.graph));
  g->start = calloc((size_t)g->update.count, sizeof *g->start);
  assert_non_null(g->start);
  for (int i = 0; i < g->update.count; i++) {
    const gh_tensor *p = g->update.parameters[i];
    g->start[i] = malloc((size_t)gh_tensor_bytes(p));
    assert_non_null(g->start[i]);
    check_ok(gh_tensor_read(&err, g->device, p, g->start[i]));
  }
}

static void close_stage(golden *g) {
  for (int i = 0; i < g->update.count; i++) free(g->start[i]);
  free(g->start);
  gh_update_free(&g->update);
  gh_graph_free(g->step.graph);
  gh_store_free(g->store);
  gh_models_close(&g->models);
}

/* Copies micro-batch `index` of the inputs' tensor `from` into the store's `to`. */
static void give(golden *g, const char *from, const char *to, int64_t index) {
  gh_tensor *t = gh_store_find(g->store, to);
  const gh_st_tensor *source = gh_safetensors_find(g->inputs, from);
  assert_true(t && source);
  int64_t n = gh_tensor_elements(t);
  assert_true((index + 1) * n <= source->elements);
  float *values = malloc((size_t)n * sizeof *values);
  assert_non_null(values);
  check_ok(gh_st_read_f32(&err, source, index * n, n, values));
  if (t->dtype == GH_I32) /* the file has numbers for every kind of input */
    for (int64_t i = 0; i < n; i++) ((int32_t *)values)[i] = (int32_t)values[i];
  check_ok(gh_tensor_write(&err, g->device, t, values));
  free(values);
}

static void run_micro(golden *g, int stage, int64_t update, int64_t index, int64_t batch) {
  const gh_optimizer_config *o = &g->config.stages[stage - 1].optimizer;
  const gh_step_values values = {.learning_rate = o->lr,
                                 .beta1 = o->betas[0],
                                 .beta2 = o->betas[1],
                                 .update = (uint64_t)update + 1,
                                 .samples = MICRO,
                                 .weight = 1 / (double)batch};
  for (int i = 0; i < g->step.input_count; i++) {
    const char *name = g->step.inputs[i].name;
    char from[64], to[64];
    if (!strcmp(name, "images")) /* those of both stages */
      snprintf(from, sizeof from, "%s", name);
    else
      snprintf(from, sizeof from, "stage%d.%s", stage, name);
    snprintf(to, sizeof to, "input.%s", name);
    give(g, from, to, index);
  }
  check_ok(gh_step_write(&err, g->device, g->step.block, &values));
  check_ok(gh_graph_run(&err, g->step.graph));
}

/* ---- losses and gradient norms ---- */

static int compare_series(const golden *g, int stage, const char *what, const double *got, int64_t count) {
  char name[64];
  int64_t n = 0, errors = 0;
  snprintf(name, sizeof name, "error.stage%d.%s", stage, what);
  float *theirs = load(g->want, name, &errors), *want = load(g->want, name + strlen("error."), &n);
  assert_true(n == count && errors == count);
  double allowed = 0, worst = 0;
  int bad = 0;
  for (int64_t i = 0; i < n; i++) allowed = fmax(allowed, 4 * (double)theirs[i]);
  for (int64_t i = 0; i < n; i++) {
    double limit = fmax(allowed, 1e-5 * fabs((double)want[i])), share = fabs(got[i] - (double)want[i]) / limit;
    if (!(share <= 1)) {
      print_error("%s stage %d update %d: %s %.8g, expected %.8g\n", g->name, stage, (int)i + 1, what, got[i],
                  (double)want[i]);
      bad++;
    }
    worst = fmax(worst, share);
  }
  printf("%-10s stage %d %-9s: the worst of %d updates uses %4.1f%% of its tolerance\n", g->name, stage, what, (int)n,
         100 * worst);
  free(theirs);
  free(want);
  return bad;
}

/* ---- parameters ---- */

typedef struct share_list {
  double ours[256], theirs[256]; /* errors relative to the movement */
  int count;
  char worst[128];
} share_list;

static int compare_shares(const golden *g, int stage, const char *what, share_list *list, int least_count) {
  if (list->count < least_count) fail_msg("%s stage %d: only %d parameters are compared", g->name, stage, list->count);
  int bad = 0;
  for (int i = 0; i < list->count; i++) bad += !isfinite(list->ours[i]);
  gh_sort_doubles(list->ours, (size_t)list->count);
  gh_sort_doubles(list->theirs, (size_t)list->count);
  const struct {
    const char *name;
    int at;
    double least;
  } ranks[] = {{"worst", list->count - 1, 1e-4}, {"median", list->count / 2, 2e-5}};
  for (size_t i = 0; i < GH_COUNT(ranks); i++) {
    double ours = list->ours[ranks[i].at], limit = fmax(ranks[i].least, 4 * list->theirs[ranks[i].at]);
    bool ok = ours <= limit;
    printf("%-10s stage %d %-9s: the %s of %d tensors is off by %.1e of its movement, %.1e allowed%s%s\n", g->name,
           stage, what, ranks[i].name, list->count, ours, limit, i ? "" : ": ", i ? "" : list->worst);
    bad += !ok;
  }
  return bad;
}

static void add_share(share_list *list, const char *name, double ours, double theirs) {
  assert_true((size_t)list->count < GH_COUNT(list->ours));
  double worst = -1;
  for (int i = 0; i < list->count; i++) worst = fmax(worst, list->ours[i]);
  if (!(ours <= worst)) snprintf(list->worst, sizeof list->worst, "%s", name);
  list->ours[list->count] = ours;
  list->theirs[list->count++] = theirs;
}

static double distance(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
  return sqrt(sum);
}

static double greatest_difference(const float *a, const float *b, int64_t n) {
  double greatest = 0;
  for (int64_t i = 0; i < n; i++)
    if (!(fabs((double)a[i] - (double)b[i]) <= greatest)) greatest = fabs((double)a[i] - (double)b[i]);
  return greatest;
}

/* The gradient of a key's bias is only rounding noise: see the fixtures' README. */
static bool only_noise(const char *name) {
  static const char *const ends[] = {"k_proj.bias", "cross_attn.k.bias", "self_attn.qkv.bias"};
  for (size_t i = 0; i < GH_COUNT(ends); i++)
    if (gh_ends_with(name, ends[i])) return true;
  return false;
}

static void compare_parameter(const golden *g, int stage, int index, share_list *moved, share_list *final) {
  const gh_tensor *p = g->update.parameters[index];
  char name[192];
  int64_t n = gh_tensor_elements(p), one, same;
  snprintf(name, sizeof name, "error.stage%d.moved.%s", stage, p->name);
  if (only_noise(p->name)) {
    assert_null(gh_safetensors_find(g->want, name));
    return;
  }
  float *values = malloc((size_t)n * sizeof *values);
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, g->device, p, values));
  float *theirs = load(g->want, name, &one), *way = load(g->want, name + strlen("error."), &one);
  double length = (double)*way;
  assert_true(length > 0);
  add_share(moved, p->name, fabs(distance(values, g->start[index], n) - length) / length, (double)*theirs / length);
  free(theirs);
  free(way);
  snprintf(name, sizeof name, "error.stage%d.final.%s", stage, p->name);
  if (gh_safetensors_find(g->want, name)) {
    theirs = load(g->want, name, &one);
    way = load(g->want, name + strlen("error."), &same);
    assert_true(same == n);
    add_share(final, p->name, greatest_difference(values, way, n) / length, (double)*theirs / length);
    free(theirs);
    free(way);
  }
  free(values);
}

static int compare_parameters(const golden *g, int stage) {
  share_list moved = {0}, final = {0};
  for (int i = 0; i < g->update.count; i++) compare_parameter(g, stage, i, &moved, &final);
  char prefix[32];
  int expected = 0;
  snprintf(prefix, sizeof prefix, "stage%d.moved.", stage);
  for (size_t i = 0; i < gh_safetensors_count(g->want); i++)
    expected += gh_starts_with(gh_safetensors_at(g->want, i)->name, prefix);
  assert_int_equal(moved.count, expected); /* exactly the parameters that PyTorch trained */
  return compare_shares(g, stage, "moved", &moved, 50) + compare_shares(g, stage, "final", &final, 30);
}

/* ---- a run ---- */

static int run_stage(golden *g, int stage) {
  double losses[16], norms[16];
  const gh_stage_config *s = &g->config.stages[stage - 1];
  int64_t parts = s->batch / MICRO;
  open_stage(g, stage);
  assert_true(s->steps <= (int64_t)GH_COUNT(losses));
  for (int64_t u = 0; u < s->steps; u++) {
    gh_update_result result;
    for (int64_t k = u * parts; k < (u + 1) * parts; k++) run_micro(g, stage, u, k, s->batch);
    check_ok(gh_graph_run(&err, g->update.graph));
    check_ok(gh_update_read(&err, g->device, &g->update, &result));
    assert_false(result.bad);
    losses[u] = result.loss;
    norms[u] = result.norm;
  }
  int bad = compare_series(g, stage, "loss", losses, s->steps) + compare_series(g, stage, "grad_norm", norms, s->steps);
  bad += compare_parameters(g, stage);
  check_ok(gh_snapshot_write(&err, run_folder, g->device, &g->update, &g->config, stage == 2 ? &g->lora : NULL, stage,
                             s->steps));
  close_stage(g);
  return bad;
}

static void run(const char *name, const char *shape) {
  char file[128];
  golden g = {.name = name};
  run_folder = check_folder();
  assert_int_equal(chdir(GH_FIXTURES "/golden"), 0);
  bool chosen = getenv("GH_KERNEL_SHAPE"); /* by the tests' environment */
  if (!chosen) setenv("GH_KERNEL_SHAPE", check_has_shape(shape) ? shape : "gpu", 1);
  snprintf(file, sizeof file, "%s.json", name);
  check_ok(gh_config_read(&err, &g.config, file, NULL, 0));
  snprintf(file, sizeof file, "%s.expected.safetensors", name);
  check_ok(gh_safetensors_open(&err, &g.want, file));
  check_ok(gh_safetensors_open(&err, &g.inputs, "inputs.safetensors"));
  check_ok(gh_device_open(&err, g.config.device, &g.device));
  int bad = run_stage(&g, 1);
  bad += run_stage(&g, 2);
  gh_device_close(g.device);
  gh_safetensors_close(g.inputs);
  gh_safetensors_close(g.want);
  gh_config_free(&g.config);
  if (!chosen) unsetenv("GH_KERNEL_SHAPE");
  check_folder_done(run_folder);
  assert_int_equal(bad, 0);
}

static void test_only(void **state) {
  (void)state;
  run("only", "cpu");
}

static void test_all(void **state) {
  (void)state;
  run("all", "gpu");
}

static void test_accumulate(void **state) {
  (void)state;
  run("accumulate", "cpu");
}

static void test_masked(void **state) {
  (void)state;
  run("masked", "cpu");
}

int main(void) {
  const struct CMUnitTest chosen[] = {
      cmocka_unit_test(test_only),
      cmocka_unit_test(test_accumulate),
      cmocka_unit_test(test_masked),
  };
  const struct CMUnitTest all[] = {
      cmocka_unit_test(test_only),
      cmocka_unit_test(test_all),
      cmocka_unit_test(test_accumulate),
      cmocka_unit_test(test_masked),
  };
  const char *shape = getenv("GH_KERNEL_SHAPE");
  /* "all" has the GPU's kernels by itself: where they are chosen for every test, it would only be repeated. */
  if (shape && !strcmp(shape, "gpu") && check_has_shape("cpu")) return cmocka_run_group_tests(chosen, NULL, NULL);
  return cmocka_run_group_tests(all, NULL, NULL);
}
