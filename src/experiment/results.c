#include "experiment/results.h"
#include "base/array.h"
#include "base/file.h"
#include "eval/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 0 /* of the bootstrap */

/* ---- reading ---- */

static void forget(double *values, size_t n) {
  for (size_t i = 0; i < n; i++) values[i] = NAN;
}

/* The score of that name, a new one at its first mention. NULL on failure. */
static gh_experiment_score *score_of(gh_error *err, gh_experiment_results *r, size_t evaluation, const char *name,
                                     bool detail) {
  const size_t runs = r->x->run_count, seeds = r->x->seeds.count;
  for (size_t i = 0; i < r->count; i++)
    if (r->scores[i].evaluation == evaluation && r->scores[i].detail == detail && !strcmp(r->scores[i].name, name))
      return &r->scores[i];
  if (GH_ARRAY_RESERVE(err, r->scores, r->capacity, r->count, 1)) return NULL;
  gh_experiment_score *s = &r->scores[r->count++];
  *s = (gh_experiment_score){.evaluation = evaluation, .detail = detail};
  s->name = gh_strdup(err, name);
  s->before = gh_alloc(err, runs, sizeof *s->before);
  s->after = gh_alloc(err, runs * seeds, sizeof *s->after);
  if (!s->name || !s->before || !s->after) return NULL;
  forget(s->before, runs);
  forget(s->after, runs * seeds);
  return s;
}

/* Where a file's scores belong: all runs that begin with the encoder, or one run and seed. */
typedef struct gh_place {
  const gh_experiment_steps *steps;
  const gh_experiment_step *step;
} gh_place;

/* Whether the step measured the run's encoder before training. */
static bool is_before(const gh_place *at, size_t run) {
  const char *folder = at->steps->before[run];
  return gh_starts_with(at->step->result, folder) && at->step->result[strlen(folder)] == '/';
}

static void put(const gh_experiment_results *r, const gh_place *at, double *before, double *after, size_t width,
                const double *values) {
  const size_t bytes = width * sizeof *values;
  if (at->step->kind == GH_STEP_MEASURE) {
    memcpy(after + (at->step->run * r->x->seeds.count + at->step->seed) * width, values, bytes);
    return;
  }
  for (size_t run = 0; run < r->x->run_count; run++)
    if (is_before(at, run)) memcpy(before + run * width, values, bytes);
}

static gh_status add_score(gh_error *err, gh_experiment_results *r, const gh_place *at, const char *name, bool detail,
                           double value) {
  gh_experiment_score *s = score_of(err, r, at->step->evaluation, name, detail);
  if (!s) return err->status;
  put(r, at, s->before, s->after, 1, &value);
  return GH_OK;
}

static gh_status read_members(gh_error *err, gh_experiment_results *r, const gh_place *at, const gh_json *json,
                              const gh_experiment_kind *kind) {
  const char *path = kind->member_values[at->step->kind == GH_STEP_MEASURE];
  double sum = 0;
  size_t n = 0;
  gh_status status = GH_OK;
  if (!kind->members) return GH_OK;
  for (const gh_json *m = gh_json_first(gh_json_member(json, kind->members)); m && !status; m = gh_json_next(m), n++) {
    double value = NAN;
    status = gh_json_get_double(err, m, path, &value);
    if (!status) status = add_score(err, r, at, gh_json_key(m), true, value);
    sum += value;
  }
  return status || !n || !kind->average ? status : add_score(err, r, at, kind->average, false, sum / (double)n);
}

static gh_experiment_items *items_of(gh_error *err, gh_experiment_results *r, size_t evaluation, size_t count) {
  const size_t runs = r->x->run_count, cells = runs * r->x->seeds.count;
  for (size_t i = 0; i < r->item_count; i++)
    if (r->items[i].evaluation == evaluation) return &r->items[i];
  if (GH_ARRAY_RESERVE(err, r->items, r->item_capacity, r->item_count, 1)) return NULL;
  gh_experiment_items *p = &r->items[r->item_count++];
  *p = (gh_experiment_items){.evaluation = evaluation, .count = count};
  p->before = gh_alloc(err, runs * count, sizeof *p->before);
  p->after = gh_alloc(err, cells * count, sizeof *p->after);
  if (!p->before || !p->after) return NULL;
  forget(p->before, runs * count);
  forget(p->after, cells * count);
  return p;
}

/* Adds what a member of GH_ITEMS_COLUMNS contributes: every member counts alike, whatever the number of its items. */
static gh_status add_column(gh_error *err, const gh_json *list, double members, double *values, size_t count) {
  size_t n = 0, i = 0;
  gh_status status = GH_OK;
  if (gh_json_count(list) != count)
    return gh_fail(err, GH_ERROR_FORMAT, "%zu items; others have %zu", gh_json_count(list), count);
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item))
    n += gh_json_type_of(item) != GH_JSON_NULL;
  for (const gh_json *item = gh_json_first(list); item && !status; item = gh_json_next(item), i++) {
    double right = 0;
    if (gh_json_type_of(item) == GH_JSON_NULL) continue;
    status = gh_json_to_double(err, item, "right", &right);
    values[i] += 100 * right * (double)count / (double)n / members;
  }
  return status;
}

static gh_status item_value(gh_error *err, const gh_json *item, const gh_experiment_kind *kind, double *out) {
  bool right = false;
  gh_status status = kind->item_form == GH_ITEMS_RIGHT ? gh_json_get_bool(err, item, kind->item_key, &right)
                                                       : gh_json_get_double(err, item, kind->item_key, out);
  if (kind->item_form == GH_ITEMS_RIGHT) *out = 100 * right;
  if (kind->item_form == GH_ITEMS_RANK) *out = 100 * (*out == 0);
  return status;
}

/* values (count), zeroed: an item each. */
static gh_status take_items(gh_error *err, const gh_json *list, const gh_experiment_kind *kind, double *values,
                            size_t count) {
  const double members = (double)gh_json_count(list);
  gh_status status = GH_OK;
  size_t n = 0;
  for (const gh_json *item = gh_json_first(list); item && !status; item = gh_json_next(item), n++)
    status = kind->item_form == GH_ITEMS_COLUMNS
                 ? add_column(err, gh_json_member(item, kind->item_key), members, values, count)
                 : item_value(err, item, kind, &values[n]);
  return status;
}

static gh_status read_items(gh_error *err, gh_experiment_results *r, const gh_place *at, const gh_json *json,
                            const gh_experiment_kind *kind) {
  if (kind->item_form == GH_ITEMS_NONE) return GH_OK;
  const gh_json *list = gh_json_member(json, kind->items);
  const size_t count = kind->item_form == GH_ITEMS_COLUMNS
                           ? gh_json_count(gh_json_member(gh_json_first(list), kind->item_key))
                           : gh_json_count(list);
  if (!count) return GH_OK; /* a file of an earlier version */
  gh_experiment_items *items = items_of(err, r, at->step->evaluation, count);
  if (!items) return err->status;
  if (items->count != count)
    return gh_fail(err, GH_ERROR_FORMAT, "%zu items; other runs have %zu", count, items->count);
  double *values = gh_alloc(err, count, sizeof *values);
  gh_status status = values ? take_items(err, list, kind, values, count) : GH_ERROR_MEMORY;
  if (!status) put(r, at, items->before, items->after, count, values);
  free(values);
  return status;
}

static gh_status read_file(gh_error *err, gh_experiment_results *r, const gh_place *at) {
  const gh_experiment_kind *kind = r->x->evaluations[at->step->evaluation].kind;
  gh_json *json = NULL;
  gh_status status = gh_json_read_file(err, &json, at->step->result, GH_JSON_MAX_BYTES);
  if (status) return status;
  for (size_t i = 0; i < GH_COUNT(kind->scores) && kind->scores[i][0] && !status; i++) {
    double value = NAN;
    status = gh_json_get_double(err, json, kind->scores[i][1], &value);
    if (!status) status = add_score(err, r, at, kind->scores[i][0], false, value);
  }
  if (!status) status = read_members(err, r, at, json, kind);
  if (!status) status = read_items(err, r, at, json, kind);
  gh_json_free(json);
  return status ? gh_fail_in(err, "%s", at->step->result) : GH_OK;
}

gh_status gh_experiment_collect(gh_error *err, gh_experiment_results *r, const gh_experiment *x,
                                const gh_experiment_steps *steps) {
  gh_status status = GH_OK;
  *r = (gh_experiment_results){.x = x};
  for (size_t i = 0; i < steps->count && !status; i++) {
    const gh_place at = {steps, &steps->items[i]};
    if (steps->items[i].done && steps->items[i].result) status = read_file(err, r, &at);
  }
  return status;
}

void gh_experiment_results_free(gh_experiment_results *r) {
  for (size_t i = 0; i < r->count; i++) {
    free(r->scores[i].name);
    free(r->scores[i].before);
    free(r->scores[i].after);
  }
  for (size_t i = 0; i < r->item_count; i++) {
    free(r->items[i].before);
    free(r->items[i].after);
  }
  free(r->scores);
  free(r->items);
  *r = (gh_experiment_results){0};
}

/* ---- statistics ---- */

/* A run after training with `other`: itself before training, another run, or nothing. */
#define BEFORE  SIZE_MAX
#define NOTHING (SIZE_MAX - 1)

typedef struct gh_comparison {
  size_t run, other;
} gh_comparison;

static double other_of(const gh_experiment_results *r, const gh_experiment_score *s, const gh_comparison *c,
                       size_t seed) {
  return c->other == NOTHING  ? 0
         : c->other == BEFORE ? s->before[c->run]
                              : s->after[c->other * r->x->seeds.count + seed];
}

/* Items belong to the first score of their evaluation that is no detail. */
static const gh_experiment_items *items_behind(const gh_experiment_results *r, const gh_experiment_score *s) {
  const gh_experiment_score *first = r->scores;
  while (first->evaluation != s->evaluation || first->detail) first++;
  for (size_t i = 0; i < r->item_count && first == s; i++)
    if (r->items[i].evaluation == s->evaluation) return &r->items[i];
  return NULL;
}

/* Each item's difference is averaged over the seeds; then items are drawn. */
static gh_status compare_items(gh_error *err, gh_interval *out, const gh_experiment_results *r,
                               const gh_experiment_items *p, const gh_comparison *c) {
  const size_t seeds = r->x->seeds.count;
  double *mean = gh_alloc(err, p->count, sizeof *mean);
  size_t used = 0;
  if (!mean) return GH_ERROR_MEMORY;
  for (size_t k = 0; k < seeds; k++) {
    const double *own = p->after + (c->run * seeds + k) * p->count;
    const double *other =
        c->other == BEFORE ? p->before + c->run * p->count : p->after + (c->other * seeds + k) * p->count;
    if (isnan(own[0]) || isnan(other[0])) continue;
    for (size_t i = 0; i < p->count; i++) mean[i] += own[i] - other[i];
    used++;
  }
  for (size_t i = 0; i < p->count && used; i++) mean[i] /= (double)used;
  gh_status status =
      used ? gh_bootstrap_mean(err, out, mean, (int64_t)p->count, gh_stream_make(SEED, 0, "bootstrap", "items"))
           : GH_OK;
  free(mean);
  return status;
}

static gh_status compare(gh_error *err, gh_experiment_test *out, const gh_experiment_results *r,
                         const gh_experiment_score *s, const gh_comparison *c) {
  const size_t seeds = r->x->seeds.count;
  double *values = gh_alloc(err, seeds, sizeof *values);
  const gh_experiment_items *items = c->other == NOTHING ? NULL : items_behind(r, s);
  *out = (gh_experiment_test){.items = {NAN, NAN, NAN}};
  if (!values) return GH_ERROR_MEMORY;
  for (size_t k = 0; k < seeds; k++) {
    const double d = s->after[c->run * seeds + k] - other_of(r, s, c, k);
    if (!isnan(d)) values[out->seeds++] = d;
  }
  gh_student_mean(&out->mean, &out->p, values, out->seeds);
  free(values);
  return items ? compare_items(err, &out->items, r, items, c) : GH_OK;
}

gh_status gh_experiment_after(gh_error *err, gh_experiment_test *out, const gh_experiment_results *r,
                              const gh_experiment_score *s, size_t run) {
  return compare(err, out, r, s, &(gh_comparison){run, NOTHING});
}

gh_status gh_experiment_change(gh_error *err, gh_experiment_test *out, const gh_experiment_results *r,
                               const gh_experiment_score *s, size_t run) {
  return compare(err, out, r, s, &(gh_comparison){run, BEFORE});
}

gh_status gh_experiment_difference(gh_error *err, gh_experiment_test *out, const gh_experiment_results *r,
                                   const gh_experiment_score *s, size_t run, size_t baseline) {
  return compare(err, out, r, s, &(gh_comparison){run, baseline});
}

char *gh_experiment_score_name(gh_error *err, const gh_experiment_results *r, const gh_experiment_score *s) {
  return gh_format(err, "%s %s", r->x->evaluations[s->evaluation].name, s->name);
}
