/* The tiles of attention: each is correct and has the bits of its family; a run uses the usual ones until a search has
 * found others; a wrong one is never kept; what a plan records stays, and a plan without tiles means the usual ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/chooser/attention_internal.h"
#include "backend/chooser/tune.h"
#include "backend/registry.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "support/attention_problem.h"
#include "support/on_device.h"
#include "train/frozen_choices.h"

static gh_attention_work work_of(const attention_sizes *s, gh_attention_part part) {
  return (gh_attention_work){.desc = {part, GH_F32, s->batch, s->nq, s->nk, s->heads, s->size, s->masked, s->causal}};
}

/* ---- the space ---- */

static void test_names_are_distinct(void **state) {
  (void)state;
  int count = 0;
  for (; gh_attention_searched(count); count++) {
    const char *name = gh_attention_searched(count)->name;
    assert_true(gh_starts_with(name, gh_attention_searched(count)->family));
    for (int i = 0; gh_attention_usual(i); i++) assert_string_not_equal(gh_attention_usual(i)->name, name);
    for (int i = 0; i < count; i++) assert_string_not_equal(gh_attention_searched(i)->name, name);
  }
  assert_in_range(count, 40, GH_MAX_PROVIDERS - 10);
}

static void free_all(float **x, int count) {
  for (int i = 0; i < count; i++) free(x[i]);
}

static const char *usual_family(const gh_attention_tile *of) {
  for (int i = 0; gh_attention_usual(i); i++) {
    const gh_attention_tile *tile = (const gh_attention_tile *)gh_attention_usual(i);
    if (tile->way == of->way && tile->backward == of->backward) return tile->base.family;
  }
  return NULL;
}

/* A tile's results of its pass: the first, or the other three. */
static void compare(const attention_sizes *s, const gh_attention_tile *tile, float *const *got, float *const *usual,
                    double *const *want) {
  const bool same = !strcmp(tile->base.family, usual_family(tile));
  for (int r = tile->backward; r < (tile->backward ? ATTENTION_RESULTS : 1); r++) {
    double worst, error = attention_error(s, r, got[r], want[r], &worst);
    if (!(error <= 5e-7)) fail_msg("%s: %s is off by %.3g", tile->base.name, attention_result_names[r], error);
    if (same && memcmp(got[r], usual[r], (size_t)attention_elements(s, attention_result_side[r]) * sizeof(float)))
      fail_msg("%s: %s has not the bits of its family", tile->base.name, attention_result_names[r]);
  }
}

static bool suits(const gh_device *d, const attention_sizes *s, const gh_attention_tile *tile) {
  const gh_attention_work q = work_of(s, tile->backward ? GH_ATTENTION_BACKWARD_Q : GH_ATTENTION_FORWARD),
                          kv = work_of(s, tile->backward ? GH_ATTENTION_BACKWARD_KV : GH_ATTENTION_FORWARD);
  return gh_attention_tile_suits(tile, &q, &d->info) && gh_attention_tile_suits(tile, &kv, &d->info);
}

/* All tiles whose names end so: compiling one can take long. */
static int compare_tiles(gh_device *d, const attention_sizes *s, const char *end) {
  float *x[ATTENTION_INPUTS], *usual[ATTENTION_RESULTS], *got[ATTENTION_RESULTS];
  double *want[ATTENTION_RESULTS];
  int compared = 0;
  attention_fill(s, x);
  attention_reference(s, x, want);
  attention_run(d, s, x, usual);
  for (int i = 0; gh_attention_searched(i); i++) {
    const gh_attention_tile *tile = (const gh_attention_tile *)gh_attention_searched(i);
    if (!suits(d, s, tile) || !gh_ends_with(tile->base.name, end)) continue;
    OK(gh_choice_force(&err, d, &gh_attention_tile_kind, tile->base.name));
    attention_run(d, s, x, got);
    compare(s, tile, got, usual, want);
    free_all(got, ATTENTION_RESULTS);
    compared++;
  }
  OK(gh_choice_force(&err, d, &gh_attention_tile_kind, NULL));
  for (int r = 0; r < ATTENTION_RESULTS; r++) free(want[r]);
  free_all(usual, ATTENTION_RESULTS);
  free_all(x, ATTENTION_INPUTS);
  return compared;
}

static void test_tiles_are_right(void **state) {
  (void)state;
  static const attention_sizes cases[] = {{2, 131, 137, 2, 40, false, 0.3, 0, 0},
                                          {1, 77, 197, 2, 72, true, 0.25, 101, 50},
                                          {1, 33, 150, 1, 300, false, 0.0577, 0, 0}};
  static const attention_sizes masked = {1, 131, 137, 2, 40, true, 0.3, 101, 50};
  gh_device *cpu = open_as("/cpu"), *gpu = open_as("/gpu");
  for (size_t c = 0; cpu && c < GH_COUNT(cases); c++) assert_true(compare_tiles(cpu, &cases[c], "") >= 4);
  if (gpu) assert_int_equal(compare_tiles(gpu, &masked, "columns=32 rows=32 wide=64"), 2); /* of both passes */
  gh_device_close(cpu);
  gh_device_close(gpu);
}

/* ---- the search ---- */

static const gh_attention_desc searched = {GH_ATTENTION_FORWARD, GH_F32, 1, 130, 130, 2, 64, 0, false};
static const char key[] = "forward 130x130 batch=1 heads=2 size=64 f32";

static const char *choice_of(const gh_device *d) {
  const char *its, *provider = NULL;
  for (int i = 0; i < gh_choice_count(d, &gh_attention_tile_kind); i++) {
    gh_choice_at(d, &gh_attention_tile_kind, i, &its, &provider);
    if (!strcmp(its, key)) return provider;
  }
  return NULL;
}

static const char *choose(gh_device *d) {
  bool matrix;
  OK(gh_attention_choose(&err, d, &searched, &matrix, NULL));
  assert_false(matrix);
  return choice_of(d);
}

/* The tile that a run on the device uses without any search. */
static const char *usual_of(const gh_device *d) {
  return d->info.shape == GH_SHAPE_CPU ? "own-cpu forward" : "own-gpu forward";
}

static void test_a_run_tries_nothing(void **state) {
  (void)state;
  gh_device *d = open_as("");
  const gh_counters before = d->counters;
  assert_string_equal(choose(d), usual_of(d));
  assert_int_equal(d->counters.launches, before.launches);
  assert_int_equal(d->counters.compilations, before.compilations);
  gh_device_close(d);
}

/* Searches all three parts; returns how many shapes there were. */
static size_t search(gh_device *d, const gh_tune_options *options, gh_tune_shape *forward) {
  gh_tune *t = NULL;
  size_t count;
  bool matrix;
  OK(gh_tune_begin(&err, &t, d));
  for (int part = 0; part < GH_ATTENTION_PARTS; part++) {
    gh_attention_desc desc = searched;
    desc.part = (gh_attention_part)part;
    OK(gh_attention_choose(&err, d, &desc, &matrix, NULL));
    desc.nq = desc.nk = 9; /* too small to be searched */
    OK(gh_attention_choose(&err, d, &desc, &matrix, NULL));
  }
  assert_null(choice_of(d));
  OK(gh_tune_run(&err, t, options));
  const gh_tune_shape *shapes = gh_tune_shapes(t, &count);
  for (size_t i = 0; i < count; i++)
    if (!strcmp(shapes[i].shape, key)) *forward = shapes[i];
  gh_tune_free(t);
  return count;
}

static void test_what_is_found_is_kept_and_frozen(void **state) {
  (void)state;
  gh_tune_shape found = {0};
  gh_json *plan = NULL, *older = NULL;
  const char *provider = "", *other = "own-cpu forward vecs=1";
  gh_device *d = open_as("/cpu");
  if (!d) skip();
  assert_int_equal(search(d, &(gh_tune_options){0}, &found), GH_ATTENTION_PARTS);
  assert_int_equal(found.how, GH_TUNE_SEARCHED);
  assert_true(found.seconds > 0 && found.seconds <= found.untuned);
  assert_true(found.tried > 8);
  gh_device_close(d);

  d = open_as("/cpu"); /* a run, and a second search */
  assert_string_equal(choose(d), found.provider);
  OK(gh_choices_describe(&err, d, 1, &plan));
  OK(gh_json_get_string(&err, gh_json_member(plan, "attention_tile"), key, &provider));
  assert_string_equal(provider, found.provider);
  gh_device_close(d);
  d = open_as("/cpu");
  search(d, &(gh_tune_options){0}, &found);
  assert_int_equal(found.how, GH_TUNE_KNOWN);

  /* what is recorded, whatever the cache says */
  gh_choice_state *cache = gh_choice_state_get(&err, d, &gh_attention_tile_kind);
  gh_choice_save(cache, key, gh_choice_provider(cache, other));
  gh_device_close(d);
  d = open_as("/cpu");
  OK(gh_choices_freeze(&err, d, plan));
  assert_string_equal(choose(d), found.provider);
  gh_device_close(d);
  d = open_as("/cpu");
  assert_string_equal(choose(d), other);
  gh_device_close(d);

  /* a plan from before there were tiles */
  char text[400];
  snprintf(text, sizeof text, "{\"device\": \"%s\", \"driver\": \"%s\", \"kernel_shape\": \"cpu\", \"gemm\": {}}",
           device->info.name, device->info.driver);
  OK(gh_json_parse(&err, &older, "plan.json", text, strlen(text), sizeof text));
  d = open_as("/cpu");
  OK(gh_choices_freeze(&err, d, older));
  assert_string_equal(choose(d), "own-cpu forward");
  gh_device_close(d);
  gh_json_free(plan);
  gh_json_free(older);
}

/* Results of the same device from elsewhere: checked, and kept without a search. */
static void test_results_travel(void **state) {
  (void)state;
  gh_tune_shape found = {0}, imported = {0};
  char *here = gh_strdup(&err, getenv("GH_CACHE_DIR")), elsewhere[256], file[256];
  gh_device *d = open_as("/cpu");
  assert_non_null(here);
  snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", here);
  snprintf(file, sizeof file, "%s/exported.json", here);
  if (!d) skip();
  search(d, &(gh_tune_options){.export = file}, &found);
  gh_device_close(d);
  OK(gh_folder_make(&err, elsewhere));
  setenv("GH_CACHE_DIR", elsewhere, 1);
  d = open_as("/cpu");
  assert_string_equal(choose(d), "own-cpu forward");
  gh_device_close(d);
  d = open_as("/cpu");
  search(d, &(gh_tune_options){.import = file}, &imported);
  assert_int_equal(imported.how, GH_TUNE_CHECKED);
  assert_string_equal(imported.provider, found.provider);
  gh_device_close(d);
  d = open_as("/cpu");
  assert_string_equal(choose(d), found.provider);
  gh_device_close(d);
  setenv("GH_CACHE_DIR", here, 1);
  free(here);
}

/* The device's bind, but kernels with tiles of their own do not see the last key. */
static gh_status bind_wrong(gh_error *e, gh_device *d, const gh_kernel_id *id, const gh_grid *grid, const gh_arg *args,
                            int count, gh_launch **out) {
  gh_arg wrong[24];
  memcpy(wrong, args, (size_t)count * sizeof *args);
  if (id->source) wrong[count - 3].value.i64--; /* before the mask's count and the split */
  return device->backend->bind_kernel(e, d, id, grid, wrong, count, out);
}

static void test_a_wrong_tile_is_not_kept(void **state) {
  (void)state;
  gh_device *d = open_as("/cpu");
  if (!d) skip();
  gh_choice_state *cache = gh_choice_state_get(&err, d, &gh_attention_tile_kind);
  const gh_provider *tile = gh_choice_provider(cache, "own-cpu forward rows=32");
  const gh_attention_work work = {.desc = searched};
  bool right = true;
  gh_backend planted = *d->backend;
  const gh_backend *mine = d->backend;
  assert_non_null(tile);
  OK(gh_trial_confirm(&err, d, cache, tile, &work, key, &right));
  assert_true(right);
  planted.bind_kernel = bind_wrong;
  d->backend = &planted;
  gh_log_set_level(GH_LOG_QUIET);
  for (int part = 0; part < GH_ATTENTION_PARTS; part++) {
    gh_attention_work each = work;
    each.desc.part = (gh_attention_part)part;
    const char *name = part ? "own-cpu backward rows=32" : "own-cpu forward rows=32";
    OK(gh_trial_confirm(&err, d, cache, gh_choice_provider(cache, name), &each, key, &right));
    assert_false(right);
  }
  gh_trial_found all;
  OK(gh_trial_search(&err, d, cache, &work, key, tile, true, 1e300, &all));
  gh_log_set_level(GH_LOG_INFO);
  assert_true(all.wrong >= 2 && all.whole && all.provider);
  assert_null(strstr(all.provider->name, "rows="));
  d->backend = mine;
  gh_device_close(d);
}

/* The kernel that a run would use, which the search tries first: the planted device waits before it. */
static gh_launch *usual_launch;
static bool usual_is_bound;

static gh_status bind_noting(gh_error *e, gh_device *d, const gh_kernel_id *id, const gh_grid *grid, const gh_arg *args,
                             int count, gh_launch **out) {
  const gh_status status = device->backend->bind_kernel(e, d, id, grid, args, count, out);
  if (!status && *out == usual_launch) usual_launch = NULL; /* it had been freed */
  if (!status && !usual_is_bound && gh_starts_with(id->name, "attention")) {
    usual_launch = *out;
    usual_is_bound = true;
  }
  return status;
}

static gh_status enqueue_slowly(gh_error *e, gh_device *d, gh_launch *launch) {
  if (launch == usual_launch) usleep(50000);
  return device->backend->enqueue(e, d, launch);
}

/* What a run would use is soon left out of the rounds; its time is told all the same. */
static void test_a_slow_usual_tile_is_told(void **state) {
  (void)state;
  gh_device *d = open_as("/cpu");
  if (!d) skip();
  gh_choice_state *cache = gh_choice_state_get(&err, d, &gh_attention_tile_kind);
  const gh_attention_work work = {.desc = searched};
  gh_backend planted = *d->backend;
  const gh_backend *mine = d->backend;
  gh_trial_found found;
  planted.bind_kernel = bind_noting;
  planted.enqueue = enqueue_slowly;
  d->backend = &planted;
  OK(gh_trial_search(&err, d, cache, &work, key, NULL, true, 1e300, &found));
  assert_true(found.whole && found.provider && strstr(found.provider->name, "="));
  assert_true(found.seconds < 0.05 && found.listed_seconds >= 0.05 && isfinite(found.listed_seconds));
  d->backend = mine;
  gh_device_close(d);
}

int main(void) {
  own_cache();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_are_distinct),
      cmocka_unit_test(test_a_run_tries_nothing),
      cmocka_unit_test(test_what_is_found_is_kept_and_frozen),
      cmocka_unit_test(test_results_travel),
      cmocka_unit_test(test_a_wrong_tile_is_not_kept),
      cmocka_unit_test(test_a_slow_usual_tile_is_told),
      cmocka_unit_test(test_tiles_are_right),
  };
  const int failures = cmocka_run_group_tests(tests, open_device, close_device);
  remove_own_cache();
  return failures;
}
