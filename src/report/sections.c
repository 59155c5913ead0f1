/* The sections that only need the run's files: summary, evaluations, training, cost, configuration. */
#include "base/array.h"
#include "base/build.h"
#include "config/config.h"
#include "method/objective.h"
#include "report/chart.h"
#include "report/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE "#8a97a6"
#define AFTER  "#1f6fb2"
#define ACCENT "#d1602b"
#define THIRD  "#3c8d5a"

void gh_report_open(const gh_report_view *v, const char *name, const char *lead) {
  if (!v->page->err.status) gh_strings_add(&v->page->err, v->sections, name);
  gh_page_add(v->page, "<section><h2>%s</h2>\n", name);
  if (lead) gh_page_add(v->page, "<p class=\"lead\">%s</p>\n", lead);
}

void gh_report_close(const gh_report_view *v) { gh_page_add(v->page, "</section>\n"); }

static const char *text_at(const gh_json *node, const char *path, const char *fallback) {
  const char *text = fallback;
  gh_error ignored;
  gh_json_opt_string(&ignored, node, path, &text);
  return text;
}

static double number_at(const gh_json *node, const char *path) {
  double value = NAN;
  gh_error ignored;
  gh_json_opt_double(&ignored, node, path, &value);
  return value;
}

/* A key of info.json that has another name in runs of earlier versions. */
static double renamed_at(const gh_json *node, const char *key, const char *old) {
  return number_at(node, gh_json_member(node, key) ? key : old);
}

static double mean_of(const double *values, size_t first, size_t end) {
  double sum = 0;
  for (size_t i = first; i < end; i++) sum += values[i];
  return end > first ? sum / (double)(end - first) : NAN;
}

static double median_of(const double *values, size_t count) {
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

/* Means over the first and last tenth of the updates (ten at most), as the trainer prints them. */
static void ends_of(const gh_curve *c, double *first, double *last) {
  size_t span = GH_MAX((size_t)1, GH_MIN(c->count / 10, (size_t)10));
  *first = mean_of(c->loss, 0, GH_MIN(span, c->count));
  *last = mean_of(c->loss, c->count - GH_MIN(span, c->count), c->count);
}

/* ---- summary ---- */

static void tile(gh_page *p, const char *label, const char *value, const char *note) {
  gh_page_add(p, "<div class=\"tile\"><span>");
  gh_page_text(p, label);
  gh_page_add(p, "</span><b>");
  gh_page_text(p, value);
  gh_page_add(p, "</b><small>");
  gh_page_text(p, note);
  gh_page_add(p, "</small></div>\n");
}

static void tile_stage(const gh_report_view *v, int number) {
  const gh_curve *c = &v->data->stages[number - 1];
  char label[32], value[64], note[96];
  double first, last;
  if (!c->count) return;
  ends_of(c, &first, &last);
  snprintf(label, sizeof label, "Stage %d loss", number);
  snprintf(value, sizeof value, "%.4f \xE2\x86\x92 %.4f", first, last);
  snprintf(note, sizeof note, "%.0f updates", c->update[c->count - 1]);
  tile(v->page, label, value, note);
}

static void tile_score(const gh_report_view *v, const char *name, const char *label) {
  const double *column = gh_report_score(v->data, name);
  size_t n = gh_json_count(v->data->evaluations), best = 0;
  char value[64], note[96];
  if (!column || !n) return;
  const char *chosen = text_at(v->data->best, "snapshot", "");
  double update = number_at(v->data->best, "update");
  for (size_t i = 0; i < n; i++)
    if (v->data->updates[i] == update) best = i;
  if (!*chosen) best = n - 1;
  snprintf(value, sizeof value, "%.1f \xE2\x86\x92 %.1f", column[0], column[best]);
  snprintf(note, sizeof note, "%%, start \xE2\x86\x92 %s (update %.0f)", *chosen ? "best" : "last",
           v->data->updates[best]);
  tile(v->page, label, value, note);
}

void gh_report_summary(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  const gh_curve *c = &d->stages[d->stages[1].count ? 1 : 0];
  char value[64], note[96];
  gh_page_add(v->page, "<div class=\"tiles\">\n");
  tile_score(v, "mmvp", "MMVP-VLM");
  tile_score(v, "zeroshot.top1", "Zero-shot top-1");
  tile_stage(v, 1);
  tile_stage(v, 2);
  if (c->count) {
    snprintf(value, sizeof value, "%.3g images/s", median_of(c->speed, c->count));
    snprintf(note, sizeof note, "median of stage %d", d->stages[1].count ? 2 : 1);
    tile(v->page, "Speed", value, note);
  }
  const char *device = text_at(d->info, "device.name", NULL);
  if (device) tile(v->page, "Device", device, text_at(d->info, "device.driver", ""));
  gh_page_add(v->page, "</div>\n");
}

/* ---- evaluations ---- */

static void draw_tradeoff(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  const char *watched = text_at(gh_json_first(d->evaluations), "guard.watch", "zeroshot.top1");
  const double *mmvp = gh_report_score(d, "mmvp"), *other = gh_report_score(d, watched);
  double points = number_at(d->config, "stage2.guard.points");
  size_t n = gh_json_count(d->evaluations);
  char label[80], axis[80];
  if (!mmvp || !other) return;
  snprintf(axis, sizeof axis, "%.60s, %%", watched);
  gh_series series[2] = {
      {.label = "MMVP-VLM", .color = AFTER, .x = d->updates, .y = mmvp, .count = n, .dots = true},
      {.label = watched, .color = ACCENT, .x = d->updates, .y = other, .count = n, .dots = true, .secondary = true}};
  gh_chart chart = {.title = "Fine detail against global meaning",
                    .x_label = "update of stage 2",
                    .y_label = "MMVP-VLM average, %",
                    .y2_label = axis,
                    .series = series,
                    .count = 2,
                    .whole_x = true};
  if (gh_json_type_of(gh_json_at(d->config, "stage2.guard")) == GH_JSON_OBJECT) {
    if (isnan(points)) points = 0.3;
    snprintf(label, sizeof label, "guard at %.2f", other[0] - points);
    chart.guide_label = label;
    chart.guide = other[0] - points;
    chart.guide_secondary = true;
  }
  gh_chart_lines(v->page, &chart);
}

static void draw_scores(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  gh_series series[GH_REPORT_SCORES];
  size_t n = gh_json_count(d->evaluations);
  for (size_t s = 0; s < d->scores.count; s++)
    series[s] = (gh_series){.label = d->scores.items[s],
                            .color = gh_chart_color(s),
                            .x = d->updates,
                            .y = d->values + s * n,
                            .count = n,
                            .dots = true};
  const gh_chart chart = {.title = "All scores",
                          .x_label = "update of stage 2",
                          .y_label = "score, %",
                          .series = series,
                          .count = d->scores.count,
                          .whole_x = true};
  gh_chart_lines(v->page, &chart);
}

static const gh_json *row_of(const gh_report_data *d, double update) {
  const gh_json *row = gh_json_first(d->evaluations), *found = NULL;
  for (; row; row = gh_json_next(row))
    if (number_at(row, "update") == update) found = row;
  return found;
}

/* The nine patterns at the start and at the best snapshot (the last if there is no best). */
static void draw_patterns(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  size_t n = gh_json_count(d->evaluations), rows = 0;
  double update = number_at(d->best, "update");
  const gh_json *first = gh_json_first(d->evaluations);
  const gh_json *best = row_of(d, isnan(update) ? d->updates[n - 1] : update);
  const gh_json *before = gh_json_at(first, "patterns"), *after = best ? gh_json_at(best, "patterns") : NULL;
  const char *names[GH_REPORT_SCORES];
  double values[2][GH_REPORT_SCORES], low[2][GH_REPORT_SCORES], high[2][GH_REPORT_SCORES];
  const gh_json *pattern = gh_json_first(before);
  for (; pattern && after && rows < GH_REPORT_SCORES; pattern = gh_json_next(pattern), rows++) {
    const gh_json *both[2] = {pattern, gh_json_member(after, gh_json_key(pattern))};
    names[rows] = gh_json_key(pattern);
    for (int k = 0; k < 2; k++) {
      values[k][rows] = number_at(both[k], "percent");
      low[k][rows] = number_at(both[k], "low");
      high[k][rows] = number_at(both[k], "high");
    }
  }
  char label[64];
  snprintf(label, sizeof label, "after update %.0f", number_at(best, "update"));
  const gh_bars bars = {.title = "MMVP-VLM by pattern (whiskers: 95 %, Wilson)",
                        .unit = "pairs answered, %",
                        .names = names,
                        .rows = rows,
                        .labels = {"before", label},
                        .colors = {BEFORE, AFTER},
                        .values = {values[0], values[1]},
                        .low = {low[0], low[1]},
                        .high = {high[0], high[1]},
                        .most = 100};
  if (rows) gh_chart_bars(v->page, &bars);
}

static void table_of_evaluations(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  size_t n = gh_json_count(d->evaluations), at = 0;
  double best = number_at(d->best, "update");
  gh_page_add(v->page, "<div class=\"wide\"><table><thead><tr><th>update</th>");
  for (size_t s = 0; s < d->scores.count; s++) {
    gh_page_add(v->page, "<th>");
    gh_page_text(v->page, d->scores.items[s]);
    gh_page_add(v->page, "</th>");
  }
  gh_page_add(v->page, "<th>guard</th></tr></thead><tbody>\n");
  for (const gh_json *row = gh_json_first(d->evaluations); row; row = gh_json_next(row), at++) {
    bool within = true;
    gh_error ignored;
    gh_json_opt_bool(&ignored, row, "guard.within", &within);
    gh_page_add(v->page, "<tr%s><td>%.0f%s</td>", d->updates[at] == best ? " class=\"best\"" : "", d->updates[at],
                d->updates[at] == best ? " \xE2\x98\x85" : "");
    for (size_t s = 0; s < d->scores.count; s++) {
      double value = d->values[s * n + at];
      if (isnan(value))
        gh_page_add(v->page, "<td></td>");
      else
        gh_page_add(v->page, "<td>%.2f</td>", value);
    }
    double change = number_at(row, "guard.change");
    gh_page_add(v->page, "<td class=\"%s\">", within ? "" : "bad");
    if (!isnan(change)) gh_page_add(v->page, "%+.2f %s", change, within ? "" : "\xE2\x9C\x98");
    gh_page_add(v->page, "</td></tr>\n");
  }
  gh_page_add(v->page, "</tbody></table></div>\n");
}

void gh_report_evaluations(const gh_report_view *v) {
  if (!gh_json_count(v->data->evaluations)) return;
  gh_report_open(
      v, "Evaluations",
      "Measured on the encoder at the start of stage 2 (update 0) and at its snapshots. A star marks the best "
      "snapshot; the guard limits the loss of global meaning.");
  draw_tradeoff(v);
  draw_patterns(v);
  if (v->data->scores.count > 2) draw_scores(v);
  table_of_evaluations(v);
  gh_report_close(v);
}

/* ---- training ---- */

static void draw_curve(const gh_report_view *v, int number, const char *title, const char *label, const double *values,
                       bool smoothed, bool from_zero) {
  const gh_curve *c = &v->data->stages[number - 1];
  const gh_series series = {.color = number == 1 ? THIRD : AFTER,
                            .x = c->update,
                            .y = values,
                            .count = c->count,
                            .smoothed = smoothed && c->count > 60};
  char text[64];
  snprintf(text, sizeof text, "Stage %d: %s", number, title);
  const gh_chart chart = {.title = text,
                          .x_label = "update",
                          .y_label = label,
                          .series = &series,
                          .count = 1,
                          .narrow = true,
                          .whole_x = true,
                          .from_zero = from_zero};
  gh_chart_lines(v->page, &chart);
}

/* What the run's objective calls its loss. */
static const char *loss_of(const gh_report_view *v) {
  const char *name = NULL;
  const gh_json *kind = gh_json_at(v->data->config, "denoiser.kind");
  if (kind) gh_json_to_string(NULL, kind, "denoiser.kind", &name);
  for (size_t i = 0; name && gh_objective_at(i); i++)
    if (!strcmp(gh_objective_at(i)->kind.name, name)) return gh_objective_at(i)->loss;
  return "loss";
}

void gh_report_training(const gh_report_view *v) {
  if (!v->data->stages[0].count && !v->data->stages[1].count) return;
  gh_report_open(v, "Training", "Faint: the updates (reduced to 400 points). Strong: a moving average.");
  gh_page_add(v->page, "<div class=\"three\">\n");
  for (int number = 1; number <= 2; number++) {
    const gh_curve *c = &v->data->stages[number - 1];
    if (!c->count) continue;
    draw_curve(v, number, "loss", loss_of(v), c->loss, true, false);
    draw_curve(v, number, "learning rate", "learning rate", c->rate, false, true);
    draw_curve(v, number, "gradient norm", "norm before clipping", c->norm, true, true);
    for (size_t i = 0; i < c->names.count; i++)
      draw_curve(v, number, c->names.items[i], c->names.items[i], c->numbers[i], true, false);
  }
  gh_page_add(v->page, "</div>\n");
  gh_report_close(v);
}

/* ---- cost ---- */

static void cell_bytes(gh_page *p, double bytes) {
  bool small = bytes < 1073741824;
  if (isnan(bytes))
    gh_page_add(p, "<td></td>");
  else
    gh_page_add(p, "<td>%.*f&nbsp;%s</td>", small ? 0 : 2, bytes / (small ? 1048576 : 1073741824),
                small ? "MiB" : "GiB");
}

/* Three significant digits. */
static void cell_number(gh_page *p, const char *unit, double value) {
  if (!isfinite(value))
    gh_page_add(p, "<td></td>");
  else
    gh_page_add(p, "<td>%.*f%s</td>", value < 0.9995 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0, value, unit);
}

static void cell_duration(gh_page *p, double seconds) {
  if (seconds < 60)
    cell_number(p, "&nbsp;s", seconds);
  else if (seconds < 3600)
    cell_number(p, "&nbsp;min", seconds / 60);
  else
    cell_number(p, "&nbsp;h", seconds / 3600);
}

static void row_of_stage(const gh_report_view *v, int number) {
  const gh_report_data *d = v->data;
  const gh_curve *c = &d->stages[number - 1];
  const gh_json *info = gh_json_member(d->info, number == 1 ? "stage1" : "stage2");
  double persistent = renamed_at(info, "persistent_bytes", "lasting_bytes");
  double flops = renamed_at(info, "flop_per_micro_batch", "flop_a_micro_batch"), total = 0;
  if (!c->count) return;
  for (size_t i = 0; i < c->count; i++) total += c->seconds[i];
  gh_page_add(v->page, "<tr><td>%d</td>", number);
  cell_number(v->page, "&nbsp;M", number_at(info, "parameters_trained") / 1e6);
  cell_number(v->page, "&nbsp;M", number_at(info, "parameters_frozen") / 1e6);
  double micro_batch = number_at(info, "micro_batch");
  gh_page_add(v->page, isnan(micro_batch) ? "<td></td>" : "<td>%.0f</td>", micro_batch);
  cell_bytes(v->page, persistent);
  cell_bytes(v->page, number_at(info, "step_bytes"));
  cell_number(v->page, "", flops / 1e9 / micro_batch);
  cell_duration(v->page, median_of(c->seconds, c->count));
  cell_number(v->page, "", median_of(c->speed, c->count));
  cell_duration(v->page, total);
  gh_page_add(v->page, "</tr>\n");
}

void gh_report_cost(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  static const char *const heads[] = {"stage",     "trained",         "frozen",     "micro-batch", "memory kept",
                                      "step peak", "GFLOP per image", "per update", "images/s",    "total"};
  if (!d->stages[0].count && !d->stages[1].count) return;
  gh_report_open(v, "Speed and memory",
                 "Planned memory: what persists (parameters, gradients, moments), and in addition the peak of a step.");
  gh_page_add(v->page, "<div class=\"wide\"><table><thead><tr>");
  for (size_t i = 0; i < GH_COUNT(heads); i++) gh_page_add(v->page, "<th>%s</th>", heads[i]);
  gh_page_add(v->page, "</tr></thead><tbody>\n");
  row_of_stage(v, 1);
  row_of_stage(v, 2);
  gh_page_add(v->page, "</tbody></table></div>\n<div class=\"three\">\n");
  for (int number = 1; number <= 2; number++)
    if (d->stages[number - 1].count)
      draw_curve(v, number, "speed", "images per second", d->stages[number - 1].speed, true, true);
  gh_page_add(v->page, "</div>\n");
  gh_report_close(v);
}

/* ---- configuration ---- */

static void row_of_key(const gh_report_view *v, const char *path, const gh_json *value, const gh_json *fallback) {
  char *text = NULL;
  if (v->page->err.status || gh_json_print(&v->page->err, &text, NULL, value, false)) return;
  bool changed = !fallback || !gh_json_equal(value, fallback);
  gh_page_add(v->page, "<tr%s><td>", changed ? " class=\"changed\"" : "");
  gh_page_text(v->page, path);
  gh_page_add(v->page, "</td><td>");
  gh_page_text(v->page, text);
  gh_page_add(v->page, "</td></tr>\n");
  free(text);
}

static void rows_of(const gh_report_view *v, const char *path, const gh_json *node, const gh_json *fallback) {
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item)) {
    char *below = gh_format(&v->page->err, "%s%s%s", path, *path ? "." : "", gh_json_key(item));
    if (!below) {
      v->page->err.status = GH_ERROR_MEMORY;
      return;
    }
    const gh_json *other = gh_json_member(fallback, gh_json_key(item));
    if (!strcmp(below, GH_MADE_BY)) { /* is in the page's last lines */
      free(below);
      continue;
    }
    if (gh_json_type_of(item) == GH_JSON_OBJECT)
      rows_of(v, below, item, other);
    else
      row_of_key(v, below, item, other);
    free(below);
  }
}

void gh_report_configuration(const gh_report_view *v) {
  gh_config defaults;
  gh_json *fallback = NULL;
  gh_error *err = &v->page->err;
  gh_report_open(v, "Configuration", "Strong: differs from the default.");
  const gh_json *kind = gh_json_at(v->data->config, "denoiser.kind");
  const char *name = NULL;
  char set[128];
  if (kind) gh_json_to_string(NULL, kind, "denoiser.kind", &name);
  snprintf(set, sizeof set, "denoiser.kind=%s", name ? name : "");
  if (!err->status && !gh_config_defaults(err, &defaults, (const char *const[]){set}, name ? 1 : 0)) {
    gh_config_to_json(err, &fallback, &defaults);
    gh_config_free(&defaults);
  }
  gh_page_add(v->page, "<table class=\"keys\"><tbody>\n");
  rows_of(v, "", v->data->config, fallback);
  gh_page_add(v->page, "</tbody></table>\n");
  gh_json_free(fallback);
  gh_report_close(v);
}
