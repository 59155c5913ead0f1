#include "bench/gate.h"
#include "base/array.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const gh_result_field problem[] = {GH_RESULT_KIND, GH_RESULT_OP,    GH_RESULT_SHAPE, GH_RESULT_BATCH,
                                          GH_RESULT_PASS, GH_RESULT_DTYPE, GH_RESULT_UNIT,  GH_RESULT_CLOCK};
static const gh_result_field place[] = {GH_RESULT_APPLICATION, GH_RESULT_CONFIGURATION, GH_RESULT_BACKEND,
                                        GH_RESULT_PLATFORM,    GH_RESULT_DEVICE,        GH_RESULT_KERNEL_SHAPE};

const char *gh_verdict_name(gh_verdict verdict) {
  static const char *const names[] = {"same", "worse", "better", "missing", "new"};
  return names[verdict];
}

void gh_result_problem(char *out, size_t size, const gh_result *row) {
  const char *shape = gh_result_text(row, GH_RESULT_SHAPE), *dtype = gh_result_text(row, GH_RESULT_DTYPE),
             *pass = gh_result_text(row, GH_RESULT_PASS);
  const double batch = gh_result_number(row, GH_RESULT_BATCH);
  const bool of_a_core = gh_result_is(row, GH_RESULT_CLOCK, "processor");
  char samples[32] = "";
  if (!isnan(batch)) snprintf(samples, sizeof samples, ", batch %.0f", batch);
  snprintf(out, size, "%s%s%s%s%s%s%s%s%s", gh_result_text(row, GH_RESULT_OP), *shape ? ", " : "", shape, samples,
           *dtype ? ", " : "", dtype, *pass ? ", " : "", pass, of_a_core ? ", processor time" : "");
}

static bool same_problem(const gh_result *a, const gh_result *b) {
  static const gh_result_field provider[] = {GH_RESULT_PROVIDER}; /* two probes may measure the same peak */
  if (!gh_result_same(a, b, problem, GH_COUNT(problem))) return false;
  return !gh_result_is(a, GH_RESULT_KIND, "peak") || gh_result_same(a, b, provider, 1);
}

static bool same_place(const gh_result *a, const gh_result *b) { return gh_result_same(a, b, place, GH_COUNT(place)); }

/* ---- places ---- */

static bool share_a_place(const gh_results *a, const gh_results *b) {
  for (size_t i = 0; i < a->count; i++)
    for (size_t k = 0; k < b->count; k++)
      if (same_place(&a->items[i], &b->items[k])) return true;
  return false;
}

/* Of devices: what the host does is everyone's. */
static bool has_one_place(const gh_results *rows) {
  const gh_result *first = NULL;
  for (size_t i = 0; i < rows->count; i++) {
    if (gh_result_is(&rows->items[i], GH_RESULT_BACKEND, "host")) continue;
    if (!first) first = &rows->items[i];
    if (!same_place(first, &rows->items[i])) return false;
  }
  return true;
}

/* ---- pairs ---- */

static bool is_ok(const gh_result *row) { return row && gh_result_is(row, GH_RESULT_STATUS, "ok"); }

static double worse_by(const gh_result *first, gh_result_field of_first, const gh_result *second,
                       gh_result_field of_second) {
  const double a = gh_result_number(first, of_first), b = gh_result_number(second, of_second);
  const bool lower = gh_result_is(first, GH_RESULT_BETTER, "lower");
  const double above = lower ? b : a, below = lower ? a : b;
  if (isnan(above) || isnan(below)) return NAN;
  if (below > 0) return above / below;
  return above > 0 ? INFINITY : 1; /* devices that agreed to the bit have a drift of 0 */
}

static void rate(gh_pair *p) {
  const bool lower = gh_result_is(p->first, GH_RESULT_BETTER, "lower");
  const gh_result_field good = lower ? GH_RESULT_MINIMUM : GH_RESULT_MAXIMUM,
                        bad = lower ? GH_RESULT_MAXIMUM : GH_RESULT_MINIMUM;
  p->ratio = worse_by(p->first, GH_RESULT_VALUE, p->second, GH_RESULT_VALUE);
  p->low = worse_by(p->first, bad, p->second, good);
  p->high = worse_by(p->first, good, p->second, bad);
}

/* Drift is rounding: another choice of kernels changes it at once. What says something is an order of magnitude, and
 * only above what rounding gives within the updates of the suite (docs/results.md). */
static bool is_rounding(const gh_pair *p) {
  if (!gh_result_is(p->first, GH_RESULT_KIND, "drift")) return false;
  const double most = gh_result_is(p->first, GH_RESULT_DTYPE, "f32") ? 1e-6 : 1e-2;
  const double now = gh_result_number(p->second, GH_RESULT_VALUE);
  return now <= most || p->ratio < 10;
}

static bool is_noisy(const gh_result *row) { return row && gh_result_number(row, GH_RESULT_NOISY) == 1; }

static void judge(gh_pair *p, double bound) {
  p->ratio = p->low = p->high = NAN;
  p->noisy = is_noisy(p->first) || is_noisy(p->second);
  const bool skipped = !p->second || gh_result_is(p->second, GH_RESULT_STATUS, "skipped");
  if (is_ok(p->first) && is_ok(p->second)) {
    rate(p);
    p->verdict = p->ratio > 1 + bound         ? is_rounding(p) ? GH_VERDICT_SAME : GH_VERDICT_WORSE
                 : p->ratio < 1 / (1 + bound) ? GH_VERDICT_BETTER
                                              : GH_VERDICT_SAME;
  } else if (is_ok(p->first)) {
    p->verdict = skipped ? GH_VERDICT_MISSING : GH_VERDICT_WORSE;
  } else {
    p->verdict = is_ok(p->second) ? GH_VERDICT_NEW : GH_VERDICT_SAME;
  }
}

/* The last one counts: it was measured last. */
static const gh_result *partner(const gh_results *rows, const gh_result *of, bool by_place) {
  for (size_t i = rows->count; i-- > 0;)
    if (same_problem(&rows->items[i], of) && (!by_place || same_place(&rows->items[i], of))) return &rows->items[i];
  return NULL;
}

static int rank_of(const gh_pair *p) {
  static const int ranks[] = {[GH_VERDICT_WORSE] = 0,
                              [GH_VERDICT_SAME] = 1,
                              [GH_VERDICT_BETTER] = 2,
                              [GH_VERDICT_NEW] = 3,
                              [GH_VERDICT_MISSING] = 4};
  return ranks[p->verdict];
}

static int worst_first(const void *a, const void *b) {
  const gh_pair *x = a, *y = b;
  if (rank_of(x) != rank_of(y)) return rank_of(x) - rank_of(y);
  const double rx = isnan(x->ratio) ? INFINITY : x->ratio, ry = isnan(y->ratio) ? INFINITY : y->ratio;
  return rx < ry ? 1 : rx > ry ? -1 : x->first < y->first ? -1 : 1;
}

static gh_status join(gh_error *err, const gh_results *first, const gh_results *second, double bound, gh_pairs *out) {
  size_t joined = 0;
  for (size_t i = 0; i < first->count; i++) {
    const gh_result *row = &first->items[i];
    if (gh_result_is(row, GH_RESULT_STATUS, "skipped") || partner(first, row, true) != row) continue;
    if (GH_ARRAY_RESERVE(err, out->items, out->capacity, out->count, 1)) return GH_ERROR_MEMORY;
    gh_pair *p = &out->items[out->count++];
    *p = (gh_pair){.first = row, .second = partner(second, row, out->same_places)};
    judge(p, bound);
    out->counts[p->verdict]++;
    joined += p->second != NULL;
  }
  if (!joined) return gh_fail(err, GH_ERROR_ARGUMENT, "the results have no measurement in common");
  qsort(out->items, out->count, sizeof *out->items, worst_first);
  return GH_OK;
}

gh_status gh_results_join(gh_error *err, const gh_results *first, const gh_results *second, double bound,
                          gh_pairs *out) {
  *out = (gh_pairs){.same_places = share_a_place(first, second)};
  if (!out->same_places && (!has_one_place(first) || !has_one_place(second)))
    return gh_fail(err, GH_ERROR_ARGUMENT,
                   "the results have no device in common, and more than one device each cannot be matched");
  gh_status status = join(err, first, second, bound, out);
  if (status) gh_pairs_free(out);
  return status;
}

/* ---- a folder's rows ---- */

static bool is_replaced(const gh_result *row, const void *by) {
  const gh_results *rows = by;
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *one = &rows->items[i];
    if (same_problem(row, one) && same_place(row, one) &&
        gh_result_same(row, one, (gh_result_field[]){GH_RESULT_HARDWARE}, 1))
      return true;
  }
  return false;
}

gh_status gh_results_renew(gh_error *err, gh_results *rows, const char *folder) {
  gh_results all = {0};
  char *path = gh_path_join(err, folder, "rows.jsonl");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_results_read(err, &all, path);
  gh_results_drop(&all, is_replaced, rows);
  if (!status) status = gh_results_move(err, &all, rows);
  if (!status) status = gh_results_share(err, &all);
  if (!status) status = gh_results_write(err, &all, folder);
  gh_results_free(&all);
  free(path);
  return status;
}

void gh_pairs_free(gh_pairs *pairs) {
  free(pairs->items);
  *pairs = (gh_pairs){0};
}
