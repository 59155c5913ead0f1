/* The sections that only need the run's files: summary, evaluations, training, configuration. */
#include "base/array.h"
#include "base/build.h"
#include "config/config.h"
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
  gh_report_ends(c, &first, &last);
  snprintf(label, sizeof label, "Stage %d loss", number);
  snprintf(value, sizeof value, "%.4f \xE2\x86\x92 %.4f", first, last);
  snprintf(note, sizeof note, "%.0f updates", c->update[c->count - 1]);
  tile(v->page, label, value, note);
}

static void tile_score(const gh_report_view *v, const char *name, const char *label) {
  const double *column = gh_report_score(v->data, name);
  const size_t best = gh_report_best(v->data);
  char value[64], note[96];
  if (!column) return;
  const char *chosen = gh_report_text(v->data->best, "snapshot", "");
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
    snprintf(value, sizeof value, "%.3g images/s", gh_report_median(c->speed, c->count));
    snprintf(note, sizeof note, "median of stage %d", d->stages[1].count ? 2 : 1);
    tile(v->page, "Speed", value, note);
  }
  const char *device = gh_report_text(d->info, "device.name", NULL);
  if (device) tile(v->page, "Device", device, gh_report_text(d->info, "device.driver", ""));
  gh_page_add(v->page, "</div>\n");
}

/* ---- evaluations ---- */

static void draw_tradeoff(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  const char *watched = gh_report_text(gh_json_first(d->evaluations), "guard.watch", "zeroshot.top1");
  const double *mmvp = gh_report_score(d, "mmvp"), *other = gh_report_score(d, watched);
  double points = gh_report_number(d->config, "stage2.guard.points");
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
    if (gh_report_number(row, "update") == update) found = row;
  return found;
}

/* The nine patterns at the start and at the best snapshot (the last if there is no best). */
static void draw_patterns(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  size_t rows = 0;
  const gh_json *first = gh_json_first(d->evaluations), *best = row_of(d, d->updates[gh_report_best(d)]);
  const gh_json *before = gh_json_at(first, "patterns"), *after = best ? gh_json_at(best, "patterns") : NULL;
  const char *names[GH_REPORT_SCORES];
  double values[2][GH_REPORT_SCORES], low[2][GH_REPORT_SCORES], high[2][GH_REPORT_SCORES];
  const gh_json *pattern = gh_json_first(before);
  for (; pattern && after && rows < GH_REPORT_SCORES; pattern = gh_json_next(pattern), rows++) {
    const gh_json *both[2] = {pattern, gh_json_member(after, gh_json_key(pattern))};
    names[rows] = gh_json_key(pattern);
    for (int k = 0; k < 2; k++) {
      values[k][rows] = gh_report_number(both[k], "percent");
      low[k][rows] = gh_report_number(both[k], "low");
      high[k][rows] = gh_report_number(both[k], "high");
    }
  }
  char label[64];
  snprintf(label, sizeof label, "after update %.0f", gh_report_number(best, "update"));
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

/* With the 95 % interval of the evaluation, which older runs do not have. */
static void score_cell(gh_page *p, double value, const gh_json *interval) {
  const double low = gh_report_number(interval, "low"), high = gh_report_number(interval, "high");
  if (isnan(value)) {
    gh_page_add(p, "<td></td>");
    return;
  }
  gh_page_add(p, "<td>%.2f", value);
  if (!isnan(low) && !isnan(high)) gh_page_add(p, "<br><small>%.1f to %.1f</small>", low, high);
  gh_page_add(p, "</td>");
}

static void table_of_evaluations(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  size_t n = gh_json_count(d->evaluations), at = 0;
  const double best = gh_report_number(d->best, "update");
  const bool guarded = gh_json_member(gh_json_first(d->evaluations), "guard") != NULL;
  gh_page_add(v->page, "<div class=\"wide\"><table><thead><tr><th>update</th>");
  for (size_t s = 0; s < d->scores.count; s++) {
    gh_page_add(v->page, "<th>");
    gh_page_text(v->page, d->scores.items[s]);
    gh_page_add(v->page, "</th>");
  }
  gh_page_add(v->page, "%s</tr></thead><tbody>\n", guarded ? "<th>guard</th>" : "");
  for (const gh_json *row = gh_json_first(d->evaluations); row; row = gh_json_next(row), at++) {
    bool within = true;
    gh_error ignored;
    gh_json_opt_bool(&ignored, row, "guard.within", &within);
    gh_page_add(v->page, "<tr%s><td>%.0f%s</td>", d->updates[at] == best ? " class=\"best\"" : "", d->updates[at],
                d->updates[at] == best ? " \xE2\x98\x85" : "");
    for (size_t s = 0; s < d->scores.count; s++) {
      double value = d->values[s * n + at];
      score_cell(v->page, value, gh_json_member(gh_json_member(row, "intervals"), d->scores.items[s]));
    }
    double change = gh_report_number(row, "guard.change");
    if (guarded) gh_page_add(v->page, "<td class=\"%s\">", within ? "" : "bad");
    if (guarded && !isnan(change)) gh_page_add(v->page, "%+.2f %s", change, within ? "" : "\xE2\x9C\x98");
    gh_page_add(v->page, "%s</tr>\n", guarded ? "</td>" : "");
  }
  gh_page_add(v->page, "</tbody></table></div>\n");
}

void gh_report_evaluations(const gh_report_view *v) {
  if (!gh_json_count(v->data->evaluations)) return;
  gh_report_open(
      v, "Evaluations",
      "Measured on the encoder at the start of stage 2 (update 0) and at its snapshots. A star marks the best "
      "snapshot; the guard limits the loss of global meaning. Small numbers: the 95 % interval over the test data.");
  draw_tradeoff(v);
  draw_patterns(v);
  if (v->data->scores.count > 2) draw_scores(v);
  table_of_evaluations(v);
  gh_report_close(v);
}

/* ---- training ---- */

void gh_report_curve(const gh_report_view *v, int number, const char *title, const char *label, const double *values,
                     gh_report_scale scale) {
  const gh_curve *c = &v->data->stages[number - 1];
  const gh_series series = {.color = number == 1 ? THIRD : AFTER,
                            .x = c->update,
                            .y = values,
                            .count = c->count,
                            .smoothed = scale != GH_SCALE_PLAIN && c->count > 60};
  char text[64];
  snprintf(text, sizeof text, "Stage %d: %s", number, title);
  const gh_chart chart = {.title = text,
                          .x_label = "update",
                          .y_label = label,
                          .series = &series,
                          .count = 1,
                          .narrow = true,
                          .whole_x = true,
                          .from_zero = scale == GH_SCALE_ZERO || scale == GH_SCALE_PLAIN,
                          .log_y = scale == GH_SCALE_LOG};
  gh_chart_lines(v->page, &chart);
}

void gh_report_training(const gh_report_view *v) {
  if (!v->data->stages[0].count && !v->data->stages[1].count) return;
  gh_report_open(v, "Training", "Faint: the updates (reduced to 400 points). Strong: a moving average.");
  gh_page_add(v->page, "<div class=\"three\">\n");
  for (int number = 1; number <= 2; number++) {
    const gh_curve *c = &v->data->stages[number - 1];
    if (!c->count) continue;
    const char *loss = gh_report_loss(v->data);
    gh_report_curve(v, number, "loss", loss, c->loss, GH_SCALE_FREE);
    if (gh_report_positive(c->loss, c->count)) gh_report_curve(v, number, "loss", loss, c->loss, GH_SCALE_LOG);
    gh_report_curve(v, number, "learning rate", "learning rate", c->rate, GH_SCALE_PLAIN);
    gh_report_curve(v, number, "gradient norm", "norm before clipping", c->norm, GH_SCALE_ZERO);
    for (size_t i = 0; i < c->names.count; i++)
      gh_report_curve(v, number, c->names.items[i], c->names.items[i], c->numbers[i], GH_SCALE_FREE);
  }
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
