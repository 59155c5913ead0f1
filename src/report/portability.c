#include "report/portability.h"
#include "base/file.h"
#include "report/portability_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name, *title, *key; /* of a chart, of a column, in the JSON */
} efficiencies[] = {[GH_EFFICIENCY_APP] = {"cascade-app", "application efficiency", "app_pp"},
                    [GH_EFFICIENCY_ARCH] = {"cascade-arch", "architectural efficiency", "arch_pp"}};

/* ---- helpers ---- */

void gh_portability_section(gh_portability *p, const char *name, const char *lead) {
  gh_page_add(&p->page, "<section><h2>%s</h2>\n", name);
  if (lead) gh_page_add(&p->page, "<p class=\"lead\">%s</p>\n", lead);
}

void gh_portability_close(gh_portability *p) { gh_page_add(&p->page, "</section>\n"); }

void gh_portability_cell(gh_page *page, const char *text) {
  gh_page_add(page, "<td>");
  gh_page_text(page, text);
  gh_page_add(page, "</td>");
}

void gh_portability_number(gh_page *page, double value, int digits) {
  if (isnan(value))
    gh_page_add(page, "<td>-</td>");
  else
    gh_page_add(page, value == 0 ? "<td class=\"bad\">%.*f</td>" : "<td>%.*f</td>", digits, value);
}

char *gh_portability_path(gh_error *err, const gh_portability *p, const char *name) {
  const char *out = p->options->out;
  const size_t n = strlen(out) - (gh_ends_with(out, ".html") ? strlen(".html") : 0);
  return gh_format(err, "%.*s-%s", (int)n, out, name);
}

gh_status gh_portability_chart(gh_error *err, gh_portability *p, const char *name,
                               void (*draw)(gh_page *page, const void *chart), const void *chart) {
  char file[96];
  const size_t from = p->page.size;
  snprintf(file, sizeof file, "%s.svg", name);
  char *path = gh_portability_path(err, p, file);
  draw(&p->page, chart);
  gh_status status = path ? gh_page_write_chart(err, &p->page, from, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_strings_add(err, &p->files, path);
  free(path);
  return status;
}

/* ---- the headline ---- */

static void table_head(gh_portability *p, const char *first) {
  gh_page_add(&p->page, "<div class=\"wide\"><table><tr><th>%s</th><th>PP, application</th><th>PP, architecture</th>",
              first);
  for (size_t h = 0; h < p->study.platforms.count; h++) {
    gh_page_add(&p->page, "<th>");
    gh_page_text(&p->page, p->study.platforms.items[h]);
    gh_page_add(&p->page, "</th>");
  }
  gh_page_add(&p->page, "</tr>\n");
}

/* "12.3 images/s; 0.81 / 0.40", or why there is no result. */
static void put_cell(gh_page *page, const gh_study_cell *cell) {
  if (!cell->row) {
    gh_page_add(page, "<td class=\"bad\">0 (");
    gh_page_text(page, cell->why);
    gh_page_add(page, ")</td>");
    return;
  }
  gh_page_add(page, "<td>%.4g ", gh_result_number(cell->row, GH_RESULT_VALUE));
  gh_page_text(page, gh_result_text(cell->row, GH_RESULT_UNIT));
  gh_page_add(page, "; %.2f / %.2f%s%s</td>", cell->app, cell->arch, cell->capped ? "*" : "",
              gh_result_number(cell->row, GH_RESULT_NOISY) == 1 ? " ~" : "");
}

static void put_headline(gh_portability *p) {
  const gh_study *s = &p->study;
  gh_portability_section(
      p, "Performance portability",
      "PP is Pennycook's metric: the harmonic mean of the efficiencies on all platforms, and 0 if "
      "there is no result on one. A platform's column has the result, then application / architectural "
      "efficiency.");
  gh_page_add(&p->page, "<p class=\"sub\">Problem: <b>");
  gh_page_text(&p->page, p->headline->name);
  gh_page_add(&p->page, "</b></p>");
  table_head(p, "application");
  for (size_t a = 0; a < s->applications.count; a++) {
    gh_page_add(&p->page, "<tr>");
    gh_portability_cell(&p->page, s->applications.items[a]);
    for (int e = 0; e < (int)GH_COUNT(efficiencies); e++)
      gh_portability_number(&p->page, gh_study_pp(s, p->headline, a, (gh_efficiency)e), 3);
    for (size_t h = 0; h < s->platforms.count; h++) put_cell(&p->page, gh_study_at(s, p->headline, a, h));
    gh_page_add(&p->page, "</tr>\n");
  }
  gh_page_add(&p->page, "</table></div>\n");
  gh_portability_close(p);
}

static void draw_cascade(gh_page *page, const void *chart) { gh_chart_cascade(page, chart); }

static gh_status put_cascade(gh_error *err, gh_portability *p, gh_efficiency which) {
  const gh_study *s = &p->study;
  const size_t rows = s->applications.count, columns = s->platforms.count;
  double *values = gh_alloc(err, rows * columns + rows, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  for (size_t a = 0; a < rows; a++) {
    for (size_t h = 0; h < columns; h++)
      values[a * columns + h] = gh_study_efficiency(gh_study_at(s, p->headline, a, h), which);
    values[rows * columns + a] = gh_study_pp(s, p->headline, a, which);
  }
  const gh_cascade cascade = {.title = p->headline->name,
                              .y_label = efficiencies[which].title,
                              .applications = (const char *const *)s->applications.items,
                              .platforms = (const char *const *)s->platforms.items,
                              .rows = rows,
                              .columns = columns,
                              .efficiency = values,
                              .metric = values + rows * columns};
  gh_status status = gh_portability_chart(err, p, efficiencies[which].name, draw_cascade, &cascade);
  free(values);
  return status;
}

static gh_status put_cascades(gh_error *err, gh_portability *p) {
  gh_portability_section(
      p, "Cascade",
      "Left: an application's efficiencies in falling order; below, the platform of each place. Right: PP "
      "over all platforms.");
  gh_status status = GH_OK;
  for (int e = 0; e < (int)GH_COUNT(efficiencies) && !status; e++) status = put_cascade(err, p, (gh_efficiency)e);
  gh_portability_close(p);
  return status;
}

/* ---- all problems ---- */

static void put_problems(gh_portability *p) {
  const gh_study *s = &p->study;
  gh_portability_section(p, "All problems",
                         "PP by application efficiency / by architectural efficiency. A problem in "
                         "brackets is incomplete: a result was left out for want of time, or has no "
                         "measured peak.");
  gh_page_add(&p->page, "<div class=\"wide\"><table><tr><th>problem</th>");
  for (size_t a = 0; a < s->applications.count; a++) {
    gh_page_add(&p->page, "<th>");
    gh_page_text(&p->page, s->applications.items[a]);
    gh_page_add(&p->page, "</th>");
  }
  gh_page_add(&p->page, "</tr>\n");
  for (size_t i = 0; i < s->count; i++) {
    const gh_study_problem *one = &s->problems[i];
    gh_page_add(&p->page, one->complete ? "<tr><td>" : "<tr><td>(");
    gh_page_text(&p->page, one->name);
    gh_page_add(&p->page, one->complete ? "</td>" : ")</td>");
    for (size_t a = 0; a < s->applications.count; a++) {
      const double app = gh_study_pp(s, one, a, GH_EFFICIENCY_APP), arch = gh_study_pp(s, one, a, GH_EFFICIENCY_ARCH);
      gh_page_add(&p->page, app == 0 ? "<td class=\"bad\">%.2f / %.2f</td>" : "<td>%.2f / %.2f</td>", app,
                  isnan(arch) ? 0 : arch);
    }
    gh_page_add(&p->page, "</tr>\n");
  }
  gh_page_add(&p->page, "</table></div>\n");
  gh_portability_close(p);
}

static void put_zeros(gh_portability *p) {
  const gh_study *s = &p->study;
  gh_portability_section(p, "Where there is no result", "Each is an efficiency of 0, and makes PP 0.");
  gh_page_add(&p->page, "<details><summary>The list</summary><div class=\"wide\"><table>"
                        "<tr><th>problem</th><th>application</th><th>platform</th><th>why</th></tr>\n");
  for (size_t i = 0; i < s->count; i++)
    for (size_t a = 0; a < s->applications.count; a++)
      for (size_t h = 0; h < s->platforms.count; h++) {
        const gh_study_cell *cell = gh_study_at(s, &s->problems[i], a, h);
        if (cell->row) continue;
        gh_page_add(&p->page, "<tr>");
        gh_portability_cell(&p->page, s->problems[i].name);
        gh_portability_cell(&p->page, s->applications.items[a]);
        gh_portability_cell(&p->page, s->platforms.items[h]);
        gh_portability_cell(&p->page, cell->why);
        gh_page_add(&p->page, "</tr>\n");
      }
  gh_page_add(&p->page, "</table></div></details>\n");
  gh_portability_close(p);
}

/* Whose result is the best known one. */
static void put_source(gh_page *page, const gh_result *row) {
  static const gh_result_field fields[] = {GH_RESULT_APPLICATION, GH_RESULT_CONFIGURATION, GH_RESULT_DEVICE,
                                           GH_RESULT_PLATFORM,    GH_RESULT_PROVIDER,      GH_RESULT_COMMIT,
                                           GH_RESULT_DATE};
  bool first = true;
  gh_page_add(page, "<td>%.4g ", gh_result_number(row, GH_RESULT_VALUE));
  gh_page_text(page, gh_result_text(row, GH_RESULT_UNIT));
  gh_page_add(page, "</td><td>");
  for (size_t i = 0; i < GH_COUNT(fields); i++) {
    const char *text = gh_result_text(row, fields[i]);
    if (!*text) continue;
    gh_page_add(page, first ? "" : ", ");
    gh_page_text(page, text);
    first = false;
  }
  gh_page_add(page, "</td>");
}

static void put_baselines(gh_portability *p) {
  const gh_study *s = &p->study;
  gh_portability_section(p, "Baselines",
                         "Application efficiency is relative to the best result that these folders have on "
                         "the same hardware, whichever program reached it.");
  gh_page_add(&p->page, "<details><summary>The best known result of each problem</summary><div class=\"wide\"><table>"
                        "<tr><th>problem</th><th>platform</th><th>result</th><th>source</th></tr>\n");
  for (size_t i = 0; i < s->count; i++)
    for (size_t h = 0; h < s->platforms.count; h++) {
      if (!s->problems[i].baseline[h]) continue;
      gh_page_add(&p->page, "<tr>");
      gh_portability_cell(&p->page, s->problems[i].name);
      gh_portability_cell(&p->page, s->platforms.items[h]);
      put_source(&p->page, s->problems[i].baseline[h]);
      gh_page_add(&p->page, "</tr>\n");
    }
  gh_page_add(&p->page, "</table></div></details>\n");
  gh_portability_close(p);
}

static void put_method(gh_portability *p) {
  gh_portability_section(p, "Method", NULL);
  gh_page_add(&p->page,
              "<p class=\"lead\">%s Architectural efficiency is the share of the nearer measured limit, "
              "arithmetic or memory; peaks belong to the hardware, whatever reaches it. Where programs count "
              "different arithmetic for a problem, the least counts for all. * The share was above 1 and counts "
              "as 1: the row says why. ~ The repeats differ by more than a tenth of the median. Where an application "
              "has several results of a problem on a platform, the best "
              "counts. docs/results.md describes every field.</p>\n<p class=\"lead\">Results from:",
              p->study.by_runtime
                  ? "A platform is the hardware with one runtime; the shape of the kernels belongs to the "
                    "application."
                  : "A platform is the hardware; an application is a program with its way to the device.");
  for (size_t i = 0; i < p->options->folders->count; i++) {
    gh_page_add(&p->page, i ? ", " : " ");
    gh_page_text(&p->page, p->options->folders->items[i]);
  }
  gh_page_add(&p->page, "</p>\n");
  gh_portability_close(p);
}

/* ---- files ---- */

static gh_status write_csv(gh_error *err, gh_portability *p, const char *name, const gh_study_problem *problem) {
  char *path = gh_portability_path(err, p, name);
  gh_status status = path ? gh_study_csv(err, &p->study, problem, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_strings_add(err, &p->files, path);
  free(path);
  return status;
}

static gh_status put_json(gh_error *err, const gh_portability *p, gh_json *result) {
  const gh_study *s = &p->study;
  gh_status status = gh_json_put_string(err, result, "problem", p->headline->name);
  if (!status) status = gh_json_put_strings(err, result, "platforms", &s->platforms);
  gh_json *list = status ? NULL : gh_json_put_array(err, result, "applications");
  if (!status && !list) status = err->status;
  for (size_t a = 0; a < s->applications.count && !status; a++) {
    gh_json *one = gh_json_put_object(err, list, NULL);
    status = one ? gh_json_put_string(err, one, "application", s->applications.items[a]) : err->status;
    for (int e = 0; e < (int)GH_COUNT(efficiencies) && !status; e++)
      status = gh_json_put_double(err, one, efficiencies[e].key, gh_study_pp(s, p->headline, a, (gh_efficiency)e));
  }
  return status ? status : gh_json_put_strings(err, result, "files", &p->files);
}

static gh_status fill(gh_error *err, gh_portability *p) {
  gh_page_open(&p->page, "Portability");
  put_headline(p);
  gh_status status = put_cascades(err, p);
  put_problems(p);
  put_zeros(p);
  put_baselines(p);
  if (!status) status = gh_portability_rooflines(err, p);
  gh_portability_peaks(p);
  gh_portability_drift(p);
  gh_portability_noisy(p);
  put_method(p);
  gh_page_close(&p->page);
  return status;
}

gh_status gh_portability_write(gh_error *err, const gh_portability_options *options, gh_json *result) {
  gh_portability p = {.options = options};
  gh_status status = GH_OK;
  for (size_t i = 0; i < options->folders->count && !status; i++)
    status = gh_results_read(err, &p.rows, options->folders->items[i]);
  if (!status) status = gh_results_share(err, &p.rows);
  if (!status) status = gh_study_make(err, &p.rows, &options->study, &p.study);
  if (!status) status = gh_study_headline(err, &p.study, options->problem, &p.headline);
  if (!status) status = fill(err, &p);
  if (!status) status = write_csv(err, &p, "p3.csv", p.headline);
  if (!status) status = write_csv(err, &p, "p3-all.csv", NULL);
  if (!status) status = gh_page_write(err, &p.page, options->out);
  if (!status) status = gh_strings_add(err, &p.files, options->out);
  if (!status) status = put_json(err, &p, result);
  gh_strings_free(&p.files);
  gh_page_free(&p.page);
  gh_study_free(&p.study);
  gh_results_free(&p.rows);
  return status;
}
