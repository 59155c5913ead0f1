#include "bench/study.h"
#include "base/array.h"
#include "base/file.h"
#include "bench/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 512

/* ---- names ---- */

static bool is_studied(const gh_result *row) {
  static const char *const kinds[] = {"step", "product", "op"};
  for (size_t i = 0; i < GH_COUNT(kinds); i++)
    if (gh_result_is(row, GH_RESULT_KIND, kinds[i])) return true;
  return false;
}

static void platform_name(char *out, size_t size, const gh_study *s, const gh_result *row) {
  const char *runtime = gh_result_text(row, GH_RESULT_PLATFORM);
  if (s->by_runtime)
    snprintf(out, size, "%s, %s", gh_result_text(row, GH_RESULT_HARDWARE), runtime);
  else
    snprintf(out, size, "%s", gh_result_text(row, GH_RESULT_HARDWARE));
}

static void application_name(char *out, size_t size, const gh_study *s, const gh_result *row) {
  const char *name = gh_result_text(row, GH_RESULT_APPLICATION), *how = gh_result_text(row, GH_RESULT_CONFIGURATION),
             *backend = gh_result_text(row, GH_RESULT_BACKEND), *shape = gh_result_text(row, GH_RESULT_KERNEL_SHAPE);
  const bool other = strcmp(name, backend) != 0, kernels = s->by_runtime && *shape;
  snprintf(out, size, "%s%s%s%s%s%s%s%s", name, *how ? ", " : "", how, other ? ", " : "", other ? backend : "",
           kernels ? ", " : "", kernels ? shape : "", kernels ? " kernels" : "");
}

/* By runtime, a result without one (another program's) is a baseline only. */
static bool takes_part(const gh_study *s, const gh_result *row) {
  return is_studied(row) && (!s->by_runtime || *gh_result_text(row, GH_RESULT_PLATFORM));
}

static gh_status add_name(gh_error *err, gh_strings *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (!strcmp(list->items[i], name)) return GH_OK;
  return gh_strings_add(err, list, name);
}

static size_t index_of(const gh_strings *list, const char *name) {
  size_t i = 0;
  while (i < list->count && strcmp(list->items[i], name)) i++;
  return i;
}

static bool in_set(const gh_strings *set, const char *platform) {
  if (!set || !set->count) return true;
  for (size_t i = 0; i < set->count; i++)
    if (strstr(platform, set->items[i])) return true;
  return false;
}

static gh_status check_set(gh_error *err, const gh_study *s, const gh_strings *set) {
  for (size_t i = 0; set && i < set->count; i++) {
    bool found = false;
    for (size_t k = 0; k < s->platforms.count; k++) found |= strstr(s->platforms.items[k], set->items[i]) != NULL;
    if (!found)
      return gh_fail(err, GH_ERROR_ARGUMENT, "no platform of these results has \"%s\" in its name", set->items[i]);
  }
  return GH_OK;
}

static gh_status collect_names(gh_error *err, const gh_results *rows, const gh_study_options *options, gh_study *s) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < rows->count && !status; i++) {
    char platform[NAME_SIZE], application[NAME_SIZE];
    if (!takes_part(s, &rows->items[i])) continue;
    platform_name(platform, sizeof platform, s, &rows->items[i]);
    application_name(application, sizeof application, s, &rows->items[i]);
    if (!in_set(options->set, platform)) continue;
    status = add_name(err, &s->platforms, platform);
    if (!status) status = add_name(err, &s->applications, application);
  }
  gh_strings_sort(&s->platforms);
  gh_strings_sort(&s->applications);
  if (!status) status = check_set(err, s, options->set);
  if (!status && s->platforms.count > GH_STUDY_PLATFORMS)
    status = gh_fail(err, GH_ERROR_ARGUMENT, "more than %d platforms", GH_STUDY_PLATFORMS);
  if (!status && !s->platforms.count)
    status = gh_fail(err, GH_ERROR_ARGUMENT, "there are no results of ops, products or steps");
  return status;
}

/* ---- problems ---- */

static gh_study_problem *problem_of(gh_error *err, gh_study *s, const gh_result *row) {
  char name[NAME_SIZE];
  gh_result_problem(name, sizeof name, row);
  const char *kind = gh_result_text(row, GH_RESULT_KIND);
  for (size_t i = 0; i < s->count; i++)
    if (!strcmp(s->problems[i].name, name) && !strcmp(s->problems[i].kind, kind)) return &s->problems[i];
  if (GH_ARRAY_RESERVE(err, s->problems, s->capacity, s->count, 1)) return NULL;
  gh_study_problem *p = &s->problems[s->count];
  *p = (gh_study_problem){.name = gh_strdup(err, name),
                          .kind = kind,
                          .unit = gh_result_text(row, GH_RESULT_UNIT),
                          .complete = true,
                          .flop = NAN,
                          .baseline = gh_alloc(err, s->platforms.count, sizeof *p->baseline),
                          .cells = gh_alloc(err, s->platforms.count * s->applications.count, sizeof *p->cells)};
  s->count++;
  return p->name && p->baseline && p->cells ? p : NULL;
}

static gh_status check_unit(gh_error *err, const gh_study_problem *p, const gh_result *row) {
  if (gh_result_is(row, GH_RESULT_UNIT, p->unit)) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: results in %s and, of %s, in %s cannot be compared", p->name, p->unit,
                 gh_result_text(row, GH_RESULT_APPLICATION), gh_result_text(row, GH_RESULT_UNIT));
}

static bool is_better(const gh_result *a, const gh_result *than) {
  const double x = gh_result_number(a, GH_RESULT_VALUE), y = gh_result_number(than, GH_RESULT_VALUE);
  return gh_result_is(a, GH_RESULT_BETTER, "lower") ? x < y : x > y;
}

/* The best result on the hardware of a platform counts as known there, whichever runtime and program it has. */
static void note_baseline(const gh_study *s, gh_study_problem *p, const gh_result *row) {
  const char *hardware = gh_result_text(row, GH_RESULT_HARDWARE);
  const size_t n = strlen(hardware);
  for (size_t i = 0; i < s->platforms.count; i++) {
    const char *platform = s->platforms.items[i];
    if (strncmp(platform, hardware, n) || (platform[n] && strncmp(platform + n, ", ", 2))) continue;
    if (!p->baseline[i] || is_better(row, p->baseline[i])) p->baseline[i] = row;
  }
}

static void note_cell(gh_study_cell *cell, const gh_result *row) {
  if (gh_result_is(row, GH_RESULT_STATUS, "ok")) {
    if (!cell->row || is_better(row, cell->row)) cell->row = row;
  } else if (!cell->row || !*cell->why) {
    snprintf(cell->why, sizeof cell->why, "%s: %s", gh_result_text(row, GH_RESULT_STATUS),
             gh_result_text(row, GH_RESULT_REASON));
  }
}

static gh_status collect_rows(gh_error *err, const gh_results *rows, gh_study *s) {
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *row = &rows->items[i];
    char platform[NAME_SIZE], application[NAME_SIZE];
    if (!is_studied(row)) continue;
    platform_name(platform, sizeof platform, s, row);
    application_name(application, sizeof application, s, row);
    const size_t h = index_of(&s->platforms, platform), a = index_of(&s->applications, application);
    gh_study_problem *p = problem_of(err, s, row);
    if (!p || check_unit(err, p, row)) return err->status;
    if (gh_result_is(row, GH_RESULT_STATUS, "ok")) note_baseline(s, p, row);
    if (gh_result_is(row, GH_RESULT_STATUS, "ok")) p->flop = fmin(p->flop, gh_result_number(row, GH_RESULT_FLOP));
    if (h < s->platforms.count && a < s->applications.count && takes_part(s, row))
      note_cell(&p->cells[a * s->platforms.count + h], row);
  }
  return GH_OK;
}

/* ---- efficiencies ---- */

/* Programs count, and do, different amounts of arithmetic for the same problem. Work that another program does without
 * is no efficiency. */
static double counted_alike(const gh_study_problem *p, const gh_result *row) {
  const double least = p->flop / gh_result_number(row, GH_RESULT_FLOP);
  return gh_result_is(row, GH_RESULT_LIMIT, "arithmetic") && isfinite(least) ? least : 1;
}

static void rate_cell(gh_study_problem *p, gh_study_cell *cell, const gh_result *baseline) {
  if (!cell->row) {
    if (!*cell->why) snprintf(cell->why, sizeof cell->why, "no result");
    p->complete &= strncmp(cell->why, "skipped", 7) != 0;
    cell->arch = 0;
    return;
  }
  const double value = gh_result_number(cell->row, GH_RESULT_VALUE), best = gh_result_number(baseline, GH_RESULT_VALUE),
               share = gh_result_number(cell->row, GH_RESULT_SHARE) * counted_alike(p, cell->row);
  cell->why[0] = 0;
  cell->app = gh_result_is(cell->row, GH_RESULT_BETTER, "lower") ? best / value : value / best;
  cell->capped = share > 1;
  cell->arch = cell->capped ? 1 : share;
  p->complete &= isfinite(cell->app) && isfinite(cell->arch);
  p->covered++;
}

static void rate_problem(const gh_study *s, gh_study_problem *p) {
  for (size_t a = 0; a < s->applications.count; a++)
    for (size_t h = 0; h < s->platforms.count; h++) rate_cell(p, &p->cells[a * s->platforms.count + h], p->baseline[h]);
}

static int rank_of(const gh_study_problem *p) {
  static const char *const order[] = {"step", "product", "op"};
  int rank = 0;
  while (rank < (int)GH_COUNT(order) && strcmp(order[rank], p->kind)) rank++;
  return rank;
}

static int more_telling_first(const void *a, const void *b) {
  const gh_study_problem *x = a, *y = b;
  if (rank_of(x) != rank_of(y)) return rank_of(x) - rank_of(y);
  if (x->covered != y->covered) return x->covered < y->covered ? 1 : -1;
  if (x->flop > y->flop || x->flop < y->flop) return x->flop < y->flop ? 1 : -1;
  return strcmp(x->name, y->name);
}

static void free_problem(gh_study_problem *p) {
  free(p->name);
  free(p->baseline);
  free(p->cells);
}

/* Problems that no considered application has run anywhere say nothing. */
static void drop_empty(gh_study *s) {
  size_t kept = 0;
  for (size_t i = 0; i < s->count; i++) {
    if (s->problems[i].covered)
      s->problems[kept++] = s->problems[i];
    else
      free_problem(&s->problems[i]);
  }
  s->count = kept;
}

gh_status gh_study_make(gh_error *err, const gh_results *rows, const gh_study_options *options, gh_study *out) {
  *out = (gh_study){.by_runtime = options->by_runtime};
  gh_status status = collect_names(err, rows, options, out);
  if (!status) status = collect_rows(err, rows, out);
  for (size_t i = 0; i < out->count && !status; i++) rate_problem(out, &out->problems[i]);
  if (!status) drop_empty(out);
  if (!status && !out->count) status = gh_fail(err, GH_ERROR_ARGUMENT, "none of these results is \"ok\"");
  if (status)
    gh_study_free(out);
  else
    qsort(out->problems, out->count, sizeof *out->problems, more_telling_first);
  return status;
}

void gh_study_free(gh_study *study) {
  for (size_t i = 0; i < study->count; i++) free_problem(&study->problems[i]);
  free(study->problems);
  gh_strings_free(&study->platforms);
  gh_strings_free(&study->applications);
  *study = (gh_study){0};
}

/* ---- the metric ---- */

double gh_study_efficiency(const gh_study_cell *cell, gh_efficiency which) {
  return which == GH_EFFICIENCY_APP ? cell->app : cell->arch;
}

double gh_harmonic_mean(const double *values, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    if (values[i] == 0) return 0;
    sum += 1 / values[i];
  }
  return n ? (double)n / sum : 0;
}

double gh_study_pp(const gh_study *s, const gh_study_problem *p, size_t application, gh_efficiency which) {
  double values[GH_STUDY_PLATFORMS];
  for (size_t h = 0; h < s->platforms.count; h++)
    values[h] = gh_study_efficiency(gh_study_at(s, p, application, h), which);
  return gh_harmonic_mean(values, s->platforms.count);
}

gh_status gh_study_headline(gh_error *err, const gh_study *s, const char *wanted, const gh_study_problem **out) {
  for (size_t i = 0; i < s->count; i++) {
    if (!s->problems[i].complete || (wanted && !strstr(s->problems[i].name, wanted))) continue;
    *out = &s->problems[i];
    return GH_OK;
  }
  if (wanted)
    return gh_fail(err, GH_ERROR_ARGUMENT, "no complete problem of these results has \"%s\" in its name", wanted);
  return gh_fail(err, GH_ERROR_ARGUMENT,
                 "no problem is complete: results were left out for want of time, or no peak of their hardware was "
                 "measured (`bench suite --parts peaks`)");
}

/* ---- the P3 analysis library's CSV ---- */

static gh_status add_cell(gh_error *err, gh_file_writer *to, const char *text, const char *end) {
  char *quoted = gh_csv_quoted(err, text);
  gh_status status = quoted ? gh_file_writer_write(err, to, quoted, strlen(quoted)) : GH_ERROR_MEMORY;
  free(quoted);
  return status ? status : gh_file_writer_write(err, to, end, strlen(end));
}

static const char *number(char *out, size_t size, double value) {
  snprintf(out, size, "%.9g", value);
  return out;
}

static gh_status write_cell(gh_error *err, const gh_study *s, const gh_study_problem *p, size_t a, size_t h,
                            gh_file_writer *to) {
  const gh_study_cell *cell = gh_study_at(s, p, a, h);
  char fom[32] = "", app[32], arch[32], key[NAME_SIZE];
  if (cell->row) number(fom, sizeof fom, gh_result_number(cell->row, GH_RESULT_VALUE));
  snprintf(key, sizeof key, "%s", cell->row ? gh_result_text(cell->row, GH_RESULT_COMMIT) : "");
  const char *const cells[] = {p->name,
                               s->platforms.items[h],
                               s->applications.items[a],
                               fom,
                               number(arch, sizeof arch, cell->arch),
                               number(app, sizeof app, cell->app),
                               cell->row ? gh_result_text(cell->row, GH_RESULT_DATE) : "",
                               key};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(cells) && !status; i++)
    status = add_cell(err, to, cells[i], i + 1 < GH_COUNT(cells) ? "," : "\n");
  return status;
}

static gh_status write_problem(gh_error *err, const gh_study *s, const gh_study_problem *p, gh_file_writer *to) {
  gh_status status = GH_OK;
  for (size_t a = 0; a < s->applications.count; a++)
    for (size_t h = 0; h < s->platforms.count && !status; h++) status = write_cell(err, s, p, a, h, to);
  return status;
}

gh_status gh_study_csv(gh_error *err, const gh_study *s, const gh_study_problem *problem, const char *path) {
  static const char head[] = "problem,platform,application,fom,arch eff,app eff,date,coverage_key\n";
  gh_file_writer *to = NULL;
  gh_status status = gh_file_writer_open(err, &to, path);
  if (!status) status = gh_file_writer_write(err, to, head, sizeof head - 1);
  for (size_t i = 0; i < s->count && !status; i++)
    if (problem ? &s->problems[i] == problem : s->problems[i].complete)
      status = write_problem(err, s, &s->problems[i], to);
  if (!status) status = gh_file_writer_commit(err, to);
  gh_file_writer_free(to);
  return status;
}
