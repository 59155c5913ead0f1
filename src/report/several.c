/* Several runs on one page: scores, curves, cost, and how their configurations differ. */
#include "report/several.h"
#include "base/build.h"
#include "base/file.h"
#include "report/chart.h"
#include "train/made_by.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gh_several {
  gh_report_data runs[GH_REPORT_RUNS];
  const char *labels[GH_REPORT_RUNS]; /* of the runs: the last component of the path, or the path */
  size_t count;
  gh_strings scores; /* that any run has */
  gh_page page;
  gh_strings sections;
} gh_several;

static void open_section(gh_several *s, const char *name, const char *lead) {
  const gh_report_view view = {.page = &s->page, .sections = &s->sections};
  gh_report_open(&view, name, lead);
}

static void close_section(gh_several *s) { gh_page_add(&s->page, "</section>\n"); }

/* The head of a table whose first column has the runs, in the colours of their curves. */
static void open_table_of(gh_several *s, const char *class, const char *const *heads, size_t count) {
  gh_page_add(&s->page, "<div class=\"%s\"><table><thead><tr><th>run</th>", class);
  for (size_t i = 0; i < count; i++) {
    gh_page_add(&s->page, "<th>");
    gh_page_text(&s->page, heads[i]);
    gh_page_add(&s->page, "</th>");
  }
  gh_page_add(&s->page, "</tr></thead><tbody>\n");
}

static void open_table(gh_several *s, const char *const *heads, size_t count) {
  open_table_of(s, "wide", heads, count);
}

static void close_table(gh_several *s) { gh_page_add(&s->page, "</tbody></table></div>\n"); }

static void open_row(gh_several *s, size_t run) {
  gh_page_add(&s->page, "<tr><td><span class=\"key\"><i style=\"background:%s\"></i></span>", gh_chart_color(run));
  gh_page_text(&s->page, s->labels[run]);
  gh_page_add(&s->page, "</td>");
}

static void close_row(gh_several *s) { gh_page_add(&s->page, "</tr>\n"); }

static void text_cell(gh_several *s, const char *text) {
  gh_page_add(&s->page, "<td>");
  gh_page_text(&s->page, text);
  gh_page_add(&s->page, "</td>");
}

static void number_cell(gh_several *s, const char *format, double value) {
  char text[48] = "";
  if (isfinite(value)) snprintf(text, sizeof text, format, value);
  text_cell(s, text);
}

/* ---- scores ---- */

/* "20.0 -> 31.9", the best snapshot's (the last one's without a best). */
static void score_cell(gh_several *s, const gh_report_data *d, const char *name) {
  const double *column = gh_report_score(d, name);
  const size_t best = gh_report_best(d);
  if (!column || isnan(column[0]) || isnan(column[best]))
    gh_page_add(&s->page, "<td></td>");
  else
    gh_page_add(&s->page, "<td>%.1f \xE2\x86\x92 <b>%.1f</b></td>", column[0], column[best]);
}

static void loss_cell(gh_several *s, const gh_curve *c) {
  double first, last;
  if (!c->count) {
    gh_page_add(&s->page, "<td></td>");
    return;
  }
  gh_report_ends(c, &first, &last);
  gh_page_add(&s->page, "<td>%.4f \xE2\x86\x92 <b>%.4f</b></td>", first, last);
}

/* Whether any run has updates of that stage. */
static bool has_stage(const gh_several *s, int stage) {
  bool any = false;
  for (size_t r = 0; r < s->count; r++) any |= s->runs[r].stages[stage - 1].count > 0;
  return any;
}

static void put_scores(gh_several *s) {
  const char *heads[3 + GH_REPORT_SCORES];
  size_t count = 0;
  heads[count++] = "denoiser";
  for (size_t i = 0; i < s->scores.count; i++) heads[count++] = s->scores.items[i];
  if (has_stage(s, 1)) heads[count++] = "stage 1 loss";
  if (has_stage(s, 2)) heads[count++] = "stage 2 loss";
  open_section(s, "Scores",
               "Per cent, from the start of stage 2 to the best snapshot (the last one where none was chosen); losses "
               "from the first to the last tenth of the updates. Losses of different denoisers are not comparable.");
  open_table(s, heads, count);
  for (size_t r = 0; r < s->count; r++) {
    const gh_report_data *d = &s->runs[r];
    open_row(s, r);
    text_cell(s, gh_report_kind(d));
    for (size_t i = 0; i < s->scores.count; i++) score_cell(s, d, s->scores.items[i]);
    for (int stage = 1; stage <= 2; stage++)
      if (has_stage(s, stage)) loss_cell(s, &d->stages[stage - 1]);
    close_row(s);
  }
  close_table(s);
  close_section(s);
}

/* ---- curves ---- */

static void draw(gh_several *s, const char *title, const char *x_label, const char *y_label, const gh_series *series,
                 bool log) {
  const gh_chart chart = {.title = title,
                          .x_label = x_label,
                          .y_label = y_label,
                          .series = series,
                          .count = s->count,
                          .whole_x = true,
                          .narrow = true,
                          .log_y = log};
  gh_chart_lines(&s->page, &chart);
}

static void draw_score(gh_several *s, const char *name) {
  gh_series series[GH_REPORT_RUNS] = {0};
  for (size_t r = 0; r < s->count; r++) {
    const gh_report_data *d = &s->runs[r];
    const double *column = gh_report_score(d, name);
    series[r] = (gh_series){.label = s->labels[r],
                            .color = gh_chart_color(r),
                            .x = d->updates,
                            .y = column,
                            .count = column ? gh_json_count(d->evaluations) : 0,
                            .dots = true};
  }
  draw(s, name, "update of stage 2", "score, %", series, false);
}

static void draw_losses(gh_several *s, int stage) {
  gh_series series[GH_REPORT_RUNS] = {0};
  char title[64];
  bool any = false, positive = true;
  for (size_t r = 0; r < s->count; r++) {
    const gh_curve *c = &s->runs[r].stages[stage - 1];
    series[r] = (gh_series){.label = s->labels[r],
                            .color = gh_chart_color(r),
                            .x = c->update,
                            .y = c->loss,
                            .count = c->count,
                            .smoothed = c->count > 60};
    any |= c->count > 0;
    positive &= gh_report_positive(c->loss, c->count);
  }
  if (!any) return;
  snprintf(title, sizeof title, "Stage %d: loss", stage);
  draw(s, title, "update", "loss", series, false);
  if (positive) draw(s, title, "update", "loss", series, true);
}

static void put_curves(gh_several *s) {
  open_section(s, "Curves", "Faint: the updates. Strong: a moving average.");
  gh_page_add(&s->page, "<div class=\"three\">\n");
  for (size_t i = 0; i < s->scores.count; i++) draw_score(s, s->scores.items[i]);
  for (int stage = 1; stage <= 2; stage++) draw_losses(s, stage);
  gh_page_add(&s->page, "</div>\n");
  close_section(s);
}

/* ---- cost ---- */

static void put_cost(gh_several *s) {
  static const char *const heads[] = {"stage",       "updates",      "images/s",  "seconds",
                                      "planned GiB", "resident GiB", "energy, kJ"};
  const double gib = 1073741824.0;
  bool energy = false;
  for (size_t r = 0; r < s->count; r++)
    for (int i = 0; i < 2; i++)
      energy |= !isnan(gh_report_sum(s->runs[r].stages[i].joules, s->runs[r].stages[i].count));
  open_section(s, "Speed and memory", "Images per second: the median. Memory: planned for the device, and measured.");
  open_table(s, heads, GH_COUNT(heads) - !energy);
  for (size_t r = 0; r < s->count; r++)
    for (int stage = 1; stage <= 2; stage++) {
      const gh_report_data *d = &s->runs[r];
      const gh_curve *c = &d->stages[stage - 1];
      const gh_json *plan = gh_json_member(d->info, stage == 1 ? "stage1" : "stage2");
      if (!c->count) continue;
      open_row(s, r);
      number_cell(s, "%.0f", stage);
      number_cell(s, "%.0f", c->update[c->count - 1]);
      number_cell(s, "%.3g", gh_report_median(c->speed, c->count));
      number_cell(s, "%.4g", gh_report_sum(c->seconds, c->count));
      number_cell(
          s, "%.2f",
          (gh_report_renamed(plan, "persistent_bytes", "lasting_bytes") + gh_report_number(plan, "step_bytes")) / gib);
      number_cell(s, "%.2f", gh_report_most(c->resident, c->count) / gib);
      if (energy) number_cell(s, "%.3g", gh_report_sum(c->joules, c->count) / 1e3);
      close_row(s);
    }
  close_table(s);
  close_section(s);
}

/* ---- configurations ---- */

/* Adds the dotted keys of all values below a node that the list does not have yet. */
static void collect_keys(gh_error *err, gh_strings *keys, const char *path, const gh_json *node) {
  for (const gh_json *item = gh_json_first(node); item && !err->status; item = gh_json_next(item)) {
    bool known = false;
    char *below = gh_format(err, "%s%s%s", path, *path ? "." : "", gh_json_key(item));
    if (!below) {
      err->status = GH_ERROR_MEMORY;
      return;
    }
    for (size_t i = 0; i < keys->count; i++) known |= !strcmp(keys->items[i], below);
    if (gh_json_type_of(item) == GH_JSON_OBJECT)
      collect_keys(err, keys, below, item);
    else if (!known)
      gh_strings_add(err, keys, below);
    free(below);
  }
}

static bool differs(const gh_several *s, const char *key) {
  const gh_json *first = gh_json_at(s->runs[0].config, key);
  for (size_t r = 1; r < s->count; r++) {
    const gh_json *other = gh_json_at(s->runs[r].config, key);
    if (!first != !other || (first && !gh_json_equal(first, other))) return true;
  }
  return false;
}

static void put_difference(gh_several *s, const char *key) {
  gh_page_add(&s->page, "<tr><td>");
  gh_page_text(&s->page, key);
  gh_page_add(&s->page, "</td>");
  for (size_t r = 0; r < s->count && !s->page.err.status; r++) {
    const gh_json *value = gh_json_at(s->runs[r].config, key);
    char *text = NULL;
    if (value && gh_json_print(&s->page.err, &text, NULL, value, false)) return;
    text_cell(s, text ? text : "");
    free(text);
  }
  gh_page_add(&s->page, "</tr>\n");
}

static void open_differences(gh_several *s) {
  gh_page_add(&s->page, "<div class=\"wide\"><table class=\"keys\"><thead><tr><th>key</th>");
  for (size_t r = 0; r < s->count; r++) {
    gh_page_add(&s->page, "<th>");
    gh_page_text(&s->page, s->labels[r]);
    gh_page_add(&s->page, "</th>");
  }
  gh_page_add(&s->page, "</tr></thead><tbody>\n");
}

static void put_configurations(gh_several *s) {
  gh_strings keys = {0};
  size_t shown = 0;
  gh_error *err = &s->page.err;
  for (size_t r = 0; r < s->count && !err->status; r++) collect_keys(err, &keys, "", s->runs[r].config);
  open_section(s, "Differences of configuration", NULL);
  for (size_t i = 0; i < keys.count; i++) {
    if (gh_starts_with(keys.items[i], GH_MADE_BY ".") || !differs(s, keys.items[i])) continue;
    if (!shown++) open_differences(s);
    put_difference(s, keys.items[i]);
  }
  if (shown) close_table(s);
  if (!shown) gh_page_add(&s->page, "<p class=\"lead\">There are none.</p>\n");
  close_section(s);
  gh_strings_free(&keys);
}

static void put_origins(gh_several *s) {
  static const char *const heads[] = {"version", "commit", "device", "driver", "host", "configuration", "last update"};
  static const char *const keys[] = {"version", "commit", "device_name", "driver", "host", "configuration"};
  open_section(s, "Origin", NULL);
  open_table_of(s, "wide texts", heads, GH_COUNT(heads));
  for (size_t r = 0; r < s->count; r++) {
    const gh_json *made = gh_json_member(s->runs[r].config, GH_MADE_BY);
    char when[GH_UTC_SIZE];
    open_row(s, r);
    for (size_t i = 0; i < GH_COUNT(keys); i++) text_cell(s, gh_report_text(made, keys[i], ""));
    gh_report_when(&s->runs[r], when);
    text_cell(s, when);
    close_row(s);
  }
  close_table(s);
  close_section(s);
}

/* ---- the whole ---- */

static gh_status read_runs(gh_error *err, gh_several *s, const gh_strings *runs) {
  bool same = false;
  gh_status status = GH_OK;
  for (size_t r = 0; r < runs->count; r++)
    for (size_t k = 0; k < r; k++) same |= !strcmp(gh_path_name(runs->items[r]), gh_path_name(runs->items[k]));
  for (size_t r = 0; r < runs->count && !status; r++) {
    s->labels[r] = same ? runs->items[r] : gh_path_name(runs->items[r]);
    status = gh_report_read(err, &s->runs[r], runs->items[r]);
    if (!status) s->count++;
  }
  for (size_t r = 0; r < s->count && !status; r++)
    for (size_t i = 0; i < s->runs[r].scores.count && !status; i++) {
      bool known = s->scores.count == GH_REPORT_SCORES;
      for (size_t k = 0; k < s->scores.count; k++) known |= !strcmp(s->scores.items[k], s->runs[r].scores.items[i]);
      if (!known) status = gh_strings_add(err, &s->scores, s->runs[r].scores.items[i]);
    }
  return status;
}

static void fill(gh_several *s) {
  char title[64];
  snprintf(title, sizeof title, "%zu training runs side by side", s->count);
  gh_page_open(&s->page, title);
  gh_page_add(&s->page, "<p class=\"sub\">");
  for (size_t r = 0; r < s->count; r++) {
    gh_page_add(&s->page, "<span class=\"key\"><i style=\"background:%s\"></i>", gh_chart_color(r));
    gh_page_text(&s->page, s->labels[r]);
    gh_page_add(&s->page, "</span>");
  }
  gh_page_add(&s->page, "</p>\n");
  put_scores(s);
  put_curves(s);
  put_cost(s);
  put_configurations(s);
  put_origins(s);
  gh_page_close(&s->page);
}

gh_status gh_report_several(gh_error *err, const char *path, const gh_strings *runs, gh_json *result) {
  if (runs->count > GH_REPORT_RUNS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%zu runs are too many for one page, which has at most %d", runs->count,
                   GH_REPORT_RUNS);
  gh_several *s = gh_alloc(err, 1, sizeof *s);
  gh_status status = s ? read_runs(err, s, runs) : GH_ERROR_MEMORY;
  if (!status) fill(s);
  if (!status) status = gh_page_write(err, &s->page, path);
  if (!status) status = gh_json_put_strings(err, result, "sections", &s->sections);
  for (size_t r = 0; s && r < s->count; r++) gh_report_data_free(&s->runs[r]);
  if (s) {
    gh_strings_free(&s->scores);
    gh_strings_free(&s->sections);
    gh_page_free(&s->page);
  }
  free(s);
  return status;
}
