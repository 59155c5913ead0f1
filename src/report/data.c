#include "report/data.h"
#include "base/array.h"
#include "base/file.h"
#include "config/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- metrics ---- */

#define ALWAYS  8
#define COLUMNS (ALWAYS + GH_METRICS_NUMBERS)

static void columns_of(gh_curve *c, double ***out) {
  out[0] = &c->update;
  out[1] = &c->loss;
  out[2] = &c->norm;
  out[3] = &c->rate;
  out[4] = &c->speed;
  out[5] = &c->seconds;
  out[6] = &c->resident;
  out[7] = &c->joules;
  for (int i = 0; i < GH_METRICS_NUMBERS; i++) out[ALWAYS + i] = &c->numbers[i];
}

static gh_status grow(gh_error *err, gh_curve *c) {
  double **columns[COLUMNS];
  size_t capacity = c->capacity;
  columns_of(c, columns);
  for (int i = 0; i < COLUMNS; i++) {
    capacity = c->capacity; /* of each */
    if (GH_ARRAY_RESERVE(err, *columns[i], capacity, c->count, 1)) return GH_ERROR_MEMORY;
  }
  c->capacity = capacity;
  return GH_OK;
}

/* The objective's numbers of a line; a name that is new begins a column of NaN. */
static gh_status take_numbers(gh_error *err, gh_curve *c, const gh_json *row) {
  gh_metrics_number numbers[GH_METRICS_NUMBERS];
  int count = 0;
  gh_status status = gh_metrics_read_numbers(err, row, numbers, &count);
  for (size_t k = 0; k < c->names.count && !status; k++) c->numbers[k][c->count] = NAN;
  for (int i = 0; i < count && !status; i++) {
    size_t at = 0;
    while (at < c->names.count && strcmp(c->names.items[at], numbers[i].name)) at++;
    if (at == GH_METRICS_NUMBERS) continue;
    if (at == c->names.count) {
      status = gh_strings_add(err, &c->names, numbers[i].name);
      for (size_t row_before = 0; row_before < c->count; row_before++) c->numbers[at][row_before] = NAN;
    }
    if (!status) c->numbers[at][c->count] = numbers[i].value;
  }
  return status;
}

static gh_status take_row(gh_error *err, void *user, const gh_json *row) {
  gh_report_data *d = user;
  int64_t stage = 0;
  double ms = 0;
  gh_status status = gh_json_get_int(err, row, "stage", &stage);
  if (status || stage < 1 || stage > 2) return status;
  gh_curve *c = &d->stages[stage - 1];
  if (c->count == c->capacity) status = grow(err, c);
  if (status) return status;
  size_t i = c->count;
  status = gh_json_get_double(err, row, "update", &c->update[i]);
  if (!status) status = gh_json_get_double(err, row, "loss", &c->loss[i]);
  if (!status) status = gh_json_get_double(err, row, "grad_norm", &c->norm[i]);
  if (!status) status = gh_json_get_double(err, row, "lr", &c->rate[i]);
  if (!status) status = gh_json_get_double(err, row, "images_per_second", &c->speed[i]);
  if (!status) status = gh_json_get_double(err, row, "ms", &ms);
  c->seconds[i] = ms / 1e3;
  c->resident[i] = c->joules[i] = NAN;
  if (!status) status = gh_json_opt_double(err, row, GH_METRICS_RESIDENT, &c->resident[i]);
  if (!status) status = gh_json_opt_double(err, row, GH_METRICS_JOULES, &c->joules[i]);
  if (!status) status = gh_json_opt_double(err, row, "time", &d->time);
  if (!status) status = take_numbers(err, c, row);
  if (!status) c->count++;
  return status;
}

/* ---- evaluations ---- */

static gh_status take_evaluation(gh_error *err, void *user, const gh_json *row) {
  gh_json *copy = NULL;
  gh_status status = gh_json_copy(err, &copy, row);
  return status ? status : gh_json_put(err, ((gh_report_data *)user)->evaluations, NULL, copy);
}

static gh_status name_scores(gh_error *err, gh_report_data *d) {
  gh_status status = GH_OK;
  for (const gh_json *row = gh_json_first(d->evaluations); row && !status; row = gh_json_next(row))
    for (const gh_json *s = gh_json_first(gh_json_member(row, "scores")); s && !status; s = gh_json_next(s)) {
      bool known = d->scores.count == GH_REPORT_SCORES;
      for (size_t i = 0; i < d->scores.count; i++) known |= !strcmp(d->scores.items[i], gh_json_key(s));
      if (!known) status = gh_strings_add(err, &d->scores, gh_json_key(s));
    }
  return status;
}

static gh_status tabulate(gh_error *err, gh_report_data *d) {
  size_t rows = gh_json_count(d->evaluations), at = 0;
  d->updates = gh_alloc(err, rows, sizeof *d->updates);
  d->values = gh_alloc(err, rows * d->scores.count, sizeof *d->values);
  if (!d->updates || !d->values) return GH_ERROR_MEMORY;
  for (const gh_json *row = gh_json_first(d->evaluations); row; row = gh_json_next(row), at++) {
    gh_status status = gh_json_get_double(err, row, "update", &d->updates[at]);
    for (size_t s = 0; s < d->scores.count && !status; s++) {
      const gh_json *value = gh_json_member(gh_json_member(row, "scores"), d->scores.items[s]);
      d->values[s * rows + at] = NAN;
      if (value) status = gh_json_to_double(err, value, d->scores.items[s], &d->values[s * rows + at]);
    }
    if (status) return gh_fail_in(err, "%s/evaluations.jsonl", d->run);
  }
  return GH_OK;
}

const double *gh_report_score(const gh_report_data *d, const char *name) {
  for (size_t i = 0; i < d->scores.count; i++)
    if (!strcmp(d->scores.items[i], name)) return d->values + i * gh_json_count(d->evaluations);
  return NULL;
}

/* ---- the whole ---- */

static gh_status read_optional(gh_error *err, gh_json **out, const char *run, const char *name) {
  char *path = gh_path_join(err, run, name);
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_json_read_file(err, out, path, GH_JSON_MAX_BYTES);
  free(path);
  return status;
}

gh_status gh_report_read(gh_error *err, gh_report_data *d, const char *run) {
  *d = (gh_report_data){.run = run};
  gh_status status = gh_run_config_json(err, run, &d->config);
  if (!status) status = read_optional(err, &d->info, run, "info.json");
  if (!status) status = read_optional(err, &d->best, run, "best.json");
  if (!status) status = gh_metrics_lines(err, run, "metrics.jsonl", take_row, d);
  if (!status && !(d->evaluations = gh_json_array(err))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_metrics_lines(err, run, "evaluations.jsonl", take_evaluation, d);
  if (!status) status = name_scores(err, d);
  if (!status) status = tabulate(err, d);
  if (status) gh_report_data_free(d);
  return status;
}

void gh_report_data_free(gh_report_data *d) {
  for (int s = 0; s < 2; s++) {
    double **columns[COLUMNS];
    columns_of(&d->stages[s], columns);
    for (int i = 0; i < COLUMNS; i++) free(*columns[i]);
    gh_strings_free(&d->stages[s].names);
  }
  gh_json_free(d->config);
  gh_json_free(d->info);
  gh_json_free(d->best);
  gh_json_free(d->evaluations);
  gh_strings_free(&d->scores);
  free(d->updates);
  free(d->values);
  *d = (gh_report_data){0};
}
