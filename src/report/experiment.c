#include "report/experiment.h"
#include "report/chart.h"

#include <math.h>
#include <stdlib.h>

#define BEFORE "#8a97a6"
#define AFTER  "#1f6fb2"

typedef struct gh_view {
  gh_page *page;
  const gh_experiment_results *r;
} gh_view;

static void cell(gh_page *p, const char *text) {
  gh_page_add(p, "<td>");
  gh_page_text(p, text);
  gh_page_add(p, "</td>");
}

static void head(gh_page *p, const char *text) {
  gh_page_add(p, "<th>");
  gh_page_text(p, text);
  gh_page_add(p, "</th>");
}

static void number(gh_page *p, double value, const char *form) {
  gh_page_add(p, "<td>");
  if (!isnan(value)) gh_page_add(p, form, value);
  gh_page_add(p, "</td>");
}

static void interval(gh_page *p, const gh_interval *v, const char *form) {
  gh_page_add(p, "<td>");
  if (!isnan(v->value)) gh_page_add(p, form, v->value);
  if (!isnan(v->low)) gh_page_add(p, " <small>%.1f to %.1f</small>", v->low, v->high);
  gh_page_add(p, "</td>");
}

static void section(const gh_view *v, const char *name, const char *lead) {
  gh_page_add(v->page, "<section><h2>");
  gh_page_text(v->page, name);
  gh_page_add(v->page, "</h2>\n");
  if (lead) gh_page_add(v->page, "<p class=\"lead\">%s</p>\n", lead);
}

static void close_section(const gh_view *v) { gh_page_add(v->page, "</section>\n"); }

/* ---- the runs ---- */

static void put_state(const gh_view *v, const gh_experiment_steps *steps) {
  size_t done = 0;
  double seconds = 0;
  for (size_t i = 0; i < steps->count; i++) {
    done += steps->items[i].done;
    seconds += steps->items[i].done ? steps->items[i].seconds : 0;
  }
  gh_page_add(v->page,
              "<p class=\"sub\">%zu of %zu steps are done, in %.1f minutes. %zu runs, %zu seed%s; %zu stage%s 1 "
              "shared with another run.</p>\n",
              done, steps->count, seconds / 60, v->r->x->run_count, v->r->x->seeds.count,
              v->r->x->seeds.count == 1 ? "" : "s", steps->shared, steps->shared == 1 ? "" : "s");
}

static void put_runs(const gh_view *v) {
  const gh_experiment *x = v->r->x;
  section(v, "Runs", "The overrides of each run; the marked one is what the others are compared with.");
  gh_page_add(v->page, "<div class=\"wide\"><table><tr><th>run</th><th>configuration</th><th>overrides</th>"
                       "<th>the paper</th></tr>\n");
  for (size_t i = 0; i < x->run_count; i++) {
    gh_page_add(v->page, i == x->baseline ? "<tr class=\"best\">" : "<tr>");
    cell(v->page, x->runs[i].name);
    cell(v->page, x->runs[i].config);
    gh_page_add(v->page, "<td>");
    for (size_t k = 0; k < x->runs[i].sets.count; k++) {
      if (k) gh_page_add(v->page, "<br>");
      gh_page_text(v->page, x->runs[i].sets.items[k]);
    }
    gh_page_add(v->page, "</td>");
    cell(v->page, x->runs[i].paper ? x->runs[i].paper : "");
    gh_page_add(v->page, "</tr>\n");
  }
  gh_page_add(v->page, "</table></div>\n");
  close_section(v);
}

/* ---- one score ---- */

static gh_status put_row(gh_error *err, const gh_view *v, const gh_experiment_score *s, size_t run) {
  const gh_experiment *x = v->r->x;
  const bool is_baseline = run == x->baseline;
  gh_experiment_test own, change, other;
  gh_status status = gh_experiment_after(err, &own, v->r, s, run);
  if (!status) status = gh_experiment_change(err, &change, v->r, s, run);
  if (!status) status = gh_experiment_difference(err, &other, v->r, s, run, x->baseline);
  if (status || !own.seeds) return status;
  gh_page_add(v->page, is_baseline ? "<tr class=\"best\">" : "<tr>");
  cell(v->page, x->runs[run].name);
  gh_page_add(v->page, "<td>%zu</td>", own.seeds);
  number(v->page, s->before[run], "%.1f");
  interval(v->page, &own.mean, "%.1f");
  interval(v->page, &change.mean, "%+.1f");
  number(v->page, change.p, "%.3f");
  interval(v->page, &change.items, "%+.1f");
  if (is_baseline) {
    gh_page_add(v->page, "<td></td><td></td><td></td></tr>\n");
    return GH_OK;
  }
  interval(v->page, &other.mean, "%+.1f");
  number(v->page, other.p, "%.3f");
  interval(v->page, &other.items, "%+.1f");
  gh_page_add(v->page, "</tr>\n");
  return GH_OK;
}

static gh_status draw_score(gh_error *err, const gh_view *v, const gh_experiment_score *s, const char *title) {
  const gh_experiment *x = v->r->x;
  const size_t n = x->run_count;
  double *room = gh_alloc(err, 3 * n, sizeof *room), most = 1;
  const char **names = gh_alloc(err, n, sizeof *names);
  bool before = false;
  gh_status status = room && names ? GH_OK : GH_ERROR_MEMORY;
  for (size_t run = 0; run < n && !status; run++) {
    gh_experiment_test own;
    status = gh_experiment_after(err, &own, v->r, s, run);
    names[run] = x->runs[run].name;
    room[run] = own.mean.value;
    room[n + run] = isnan(own.mean.low) ? own.mean.value : fmax(own.mean.low, 0);
    room[2 * n + run] = isnan(own.mean.high) ? own.mean.value : own.mean.high;
    before |= !isnan(s->before[run]);
    if (room[2 * n + run] > most) most = room[2 * n + run];
    if (s->before[run] > most) most = s->before[run];
  }
  const gh_bars bars = {.title = title,
                        .unit = "mean over seeds (whiskers: 95 %, over seeds)",
                        .names = names,
                        .rows = n,
                        .labels = {before ? "before" : "after", before ? "after" : NULL},
                        .colors = {before ? BEFORE : AFTER, AFTER},
                        .values = {before ? s->before : room, room},
                        .low = {before ? NULL : room + n, room + n},
                        .high = {before ? NULL : room + 2 * n, room + 2 * n},
                        .most = most};
  if (!status) gh_chart_bars(v->page, &bars);
  free(room);
  free(names);
  return status;
}

static gh_status put_score(gh_error *err, const gh_view *v, const gh_experiment_score *s) {
  char *name = gh_experiment_score_name(err, v->r, s);
  if (!name) return GH_ERROR_MEMORY;
  section(v, name, NULL);
  gh_status status = draw_score(err, v, s, name);
  gh_page_add(v->page, "<div class=\"wide\"><table><tr><th>run</th><th>seeds</th><th>before</th><th>after</th>"
                       "<th>change</th><th>p</th><th>change, by items</th><th>against ");
  gh_page_text(v->page, v->r->x->runs[v->r->x->baseline].name);
  gh_page_add(v->page, "</th><th>p</th><th>against it, by items</th></tr>\n");
  for (size_t run = 0; run < v->r->x->run_count && !status; run++) status = put_row(err, v, s, run);
  gh_page_add(v->page, "</table></div>\n");
  close_section(v);
  free(name);
  return status;
}

/* ---- patterns and attributes ---- */

static bool has_details(const gh_experiment_results *r, size_t evaluation) {
  for (size_t i = 0; i < r->count; i++)
    if (r->scores[i].evaluation == evaluation && r->scores[i].detail) return true;
  return false;
}

static gh_status put_details(gh_error *err, const gh_view *v, size_t evaluation) {
  const gh_experiment *x = v->r->x;
  gh_status status = GH_OK;
  if (!has_details(v->r, evaluation)) return GH_OK;
  char *title = gh_format(err, "%s in detail", x->evaluations[evaluation].name);
  if (!title) return GH_ERROR_MEMORY;
  section(v, title, "After training, mean over seeds; the column \"before\" is the encoder of the first run.");
  gh_page_add(v->page, "<div class=\"wide\"><table><tr><th></th><th>before</th>");
  for (size_t run = 0; run < x->run_count; run++) head(v->page, x->runs[run].name);
  gh_page_add(v->page, "</tr>\n");
  for (size_t i = 0; i < v->r->count && !status; i++) {
    const gh_experiment_score *s = &v->r->scores[i];
    if (s->evaluation != evaluation || !s->detail) continue;
    gh_page_add(v->page, "<tr>");
    cell(v->page, s->name);
    number(v->page, s->before[0], "%.1f");
    for (size_t run = 0; run < x->run_count && !status; run++) {
      gh_experiment_test own;
      status = gh_experiment_after(err, &own, v->r, s, run);
      if (!status) interval(v->page, &own.mean, "%.1f");
    }
    gh_page_add(v->page, "</tr>\n");
  }
  gh_page_add(v->page, "</table></div>\n");
  close_section(v);
  free(title);
  return status;
}

static void put_method(const gh_view *v) {
  section(
      v, "Method",
      "Scores are per cent, PSNR is in dB. Intervals and p are over seeds: Student's t with the mean's standard error; "
      "a difference is paired by seed, and p is that of a paired t test, not corrected for the number of "
      "comparisons. One seed has neither. They hold for other seeds, not for other test data. \"By items\" holds for "
      "other test data: the difference of every pair or image, averaged over the seeds, is drawn with replacement, "
      "2000 "
      "times; an interval without 0 is significant at 5 %. Seeds are those of training; all runs begin with the same "
      "encoder.");
  close_section(v);
}

gh_status gh_report_experiment(gh_error *err, const char *path, const gh_experiment_results *r,
                               const gh_experiment_steps *steps) {
  gh_page page = {0};
  const gh_view view = {&page, r};
  gh_status status = GH_OK;
  gh_page_open(&page, r->x->title);
  put_state(&view, steps);
  for (size_t i = 0; i < r->count && !status; i++)
    if (!r->scores[i].detail) status = put_score(err, &view, &r->scores[i]);
  for (size_t e = 0; e < r->x->evaluation_count && !status; e++) status = put_details(err, &view, e);
  put_runs(&view);
  put_method(&view);
  gh_page_close(&page);
  if (!status) status = gh_page_write(err, &page, path);
  gh_page_free(&page);
  return status;
}
