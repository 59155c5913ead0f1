/* What several sections compute from a run's data. */
#include "base/array.h"
#include "method/objective.h"
#include "report/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *gh_report_text(const gh_json *node, const char *path, const char *fallback) {
  const char *text = fallback;
  gh_error ignored;
  gh_json_opt_string(&ignored, node, path, &text);
  return text;
}

double gh_report_number(const gh_json *node, const char *path) {
  double value = NAN;
  gh_error ignored;
  gh_json_opt_double(&ignored, node, path, &value);
  return value;
}

double gh_report_renamed(const gh_json *node, const char *key, const char *old) {
  return gh_report_number(node, gh_json_member(node, key) ? key : old);
}

static double mean_of(const double *values, size_t first, size_t end) {
  double sum = 0;
  for (size_t i = first; i < end; i++) sum += values[i];
  return end > first ? sum / (double)(end - first) : NAN;
}

void gh_report_ends(const gh_curve *c, double *first, double *last) {
  size_t span = GH_MAX((size_t)1, GH_MIN(c->count / 10, (size_t)10));
  *first = mean_of(c->loss, 0, GH_MIN(span, c->count));
  *last = mean_of(c->loss, c->count - GH_MIN(span, c->count), c->count);
}

double gh_report_median(const double *values, size_t count) {
  gh_error ignored;
  double *sorted = gh_alloc(&ignored, count, sizeof *sorted), middle = NAN;
  if (sorted && count) {
    memcpy(sorted, values, count * sizeof *sorted);
    gh_sort_doubles(sorted, count);
    middle = sorted[count / 2];
  }
  free(sorted);
  return middle;
}

double gh_report_most(const double *values, size_t count) {
  double most = NAN;
  for (size_t i = 0; i < count; i++) most = fmax(most, values[i]);
  return most;
}

double gh_report_sum(const double *values, size_t count) {
  double sum = 0;
  bool any = false;
  for (size_t i = 0; i < count; i++)
    if (!isnan(values[i])) sum += values[i], any = true;
  return any ? sum : NAN;
}

const char *gh_report_kind(const gh_report_data *d) {
  const char *name = NULL;
  const gh_json *kind = gh_json_at(d->config, "denoiser.kind");
  if (kind) gh_json_to_string(NULL, kind, "denoiser.kind", &name);
  return name ? name : "";
}

const char *gh_report_loss(const gh_report_data *d) {
  const char *name = gh_report_kind(d);
  for (size_t i = 0; gh_objective_at(i); i++)
    if (!strcmp(gh_objective_at(i)->kind.name, name)) return gh_objective_at(i)->loss;
  return "loss";
}

size_t gh_report_best(const gh_report_data *d) {
  const size_t n = gh_json_count(d->evaluations);
  const double update = gh_report_number(d->best, "update");
  for (size_t i = 0; i < n; i++)
    if (d->updates[i] == update) return i;
  return n ? n - 1 : 0;
}

bool gh_report_positive(const double *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!(values[i] > 0)) return false;
  return true;
}

void gh_report_when(const gh_report_data *d, char out[GH_UTC_SIZE]) {
  const time_t last = (time_t)d->time;
  struct tm utc;
  if (!(d->time > 0) || !gmtime_r(&last, &utc) || !strftime(out, GH_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc)) out[0] = 0;
}
