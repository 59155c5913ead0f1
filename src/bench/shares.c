/* Which peak a row is compared with. A peak is a limit: other work on the machine can only hide it, so the fastest
 * repeat counts. A row's own rate is that of its median. */
#include "bench/results.h"

#include <math.h>
#include <stdio.h>

static bool is_ok(const gh_result *row, const char *kind) {
  return gh_result_is(row, GH_RESULT_STATUS, "ok") && (!kind || gh_result_is(row, GH_RESULT_KIND, kind));
}

static bool same_place(const gh_result *a, const gh_result *b) {
  static const gh_result_field place[] = {GH_RESULT_HARDWARE, GH_RESULT_CLOCK};
  return gh_result_same(a, b, place, GH_COUNT(place));
}

/* ---- arithmetic ---- */

/* The unit that counts for both types: what float32 reaches, bf16 can reach. */
static bool concerns(const gh_result *peak, const gh_result *row) {
  return gh_result_is(peak, GH_RESULT_DTYPE, "f32") ||
         gh_result_same(peak, row, (gh_result_field[]){GH_RESULT_DTYPE}, 1);
}

/* Probes of arithmetic, and products, where the algorithm computes all that is counted. Other ops' counts are
 * estimates. */
static bool is_arithmetic(const gh_result *row) {
  return isfinite(gh_result_number(row, GH_RESULT_GFLOPS)) && gh_result_number(row, GH_RESULT_NOMINAL) == 0 &&
         (is_ok(row, "peak") || is_ok(row, "product"));
}

static const gh_result *arithmetic_peak(const gh_results *rows, const gh_result *row) {
  const gh_result *best = NULL;
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *r = &rows->items[i];
    if (!is_arithmetic(r) || !same_place(r, row) || !concerns(r, row)) continue;
    if (!best || gh_result_best_rate(r, GH_RESULT_GFLOPS) > gh_result_best_rate(best, GH_RESULT_GFLOPS)) best = r;
  }
  return best;
}

/* ---- memory ---- */

static bool is_memory(const gh_result *row) {
  return is_ok(row, "peak") && isfinite(gh_result_number(row, GH_RESULT_GBYTES)) &&
         isfinite(gh_result_number(row, GH_RESULT_WORKING_SET));
}

/* The largest probed working set that is not above the row's, or the smallest of all. */
static double level_of(const gh_results *rows, const gh_result *row) {
  const double wanted = gh_result_number(row, GH_RESULT_WORKING_SET);
  double below = NAN, least = NAN;
  for (size_t i = 0; i < rows->count; i++) {
    if (!is_memory(&rows->items[i]) || !same_place(&rows->items[i], row)) continue;
    const double probed = gh_result_number(&rows->items[i], GH_RESULT_WORKING_SET);
    least = fmin(least, probed);
    if (probed <= wanted) below = fmax(below, probed);
  }
  return isnan(below) ? least : below;
}

static const gh_result *memory_peak(const gh_results *rows, const gh_result *row) {
  const double level = level_of(rows, row);
  const gh_result *best = NULL;
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *r = &rows->items[i];
    if (!is_memory(r) || !same_place(r, row) || gh_result_number(r, GH_RESULT_WORKING_SET) < level) continue;
    if (!best || gh_result_best_rate(r, GH_RESULT_GBYTES) > gh_result_best_rate(best, GH_RESULT_GBYTES)) best = r;
  }
  return best;
}

/* ---- shares ---- */

static double ratio(const gh_result *row, const gh_result *peak, gh_result_field rate) {
  return peak ? gh_result_number(row, rate) / gh_result_best_rate(peak, rate) : NAN;
}

static gh_status name_peak(gh_error *err, gh_result *row, const gh_result *peak, bool arithmetic) {
  const double bytes = gh_result_number(peak, GH_RESULT_WORKING_SET);
  char size[48] = "";
  if (!arithmetic) snprintf(size, sizeof size, " of %.0f KiB", bytes / 1024);
  gh_status status = gh_result_set(err, row, GH_RESULT_LIMIT, arithmetic ? "arithmetic" : "memory");
  if (!status)
    status =
        gh_result_format(err, row, GH_RESULT_PEAK, "%s %s%s, %s on %s%s%s", gh_result_text(peak, GH_RESULT_DTYPE),
                         gh_result_text(peak, GH_RESULT_OP), size, gh_result_text(peak, GH_RESULT_APPLICATION),
                         gh_result_text(peak, GH_RESULT_DEVICE), *gh_result_text(peak, GH_RESULT_PLATFORM) ? ", " : "",
                         gh_result_text(peak, GH_RESULT_PLATFORM));
  if (!status) status = gh_result_set(err, row, GH_RESULT_PEAK_UNIT, arithmetic ? "GFLOP/s" : "GB/s");
  gh_result_put(row, GH_RESULT_PEAK_VALUE, gh_result_best_rate(peak, arithmetic ? GH_RESULT_GFLOPS : GH_RESULT_GBYTES));
  gh_result_put(row, GH_RESULT_PEAK_SPREAD, gh_result_number(peak, GH_RESULT_SPREAD));
  return status;
}

static gh_status note_excess(gh_error *err, gh_result *row, double share, bool arithmetic) {
  if (!(share > 1)) return GH_OK;
  if (arithmetic && gh_result_number(row, GH_RESULT_NOMINAL) == 1)
    return gh_result_set(err, row, GH_RESULT_SHARE_NOTE, "the algorithm computes less than is counted");
  if (arithmetic)
    return gh_result_set(err, row, GH_RESULT_SHARE_NOTE,
                         "the op's count of operations is an estimate, and above what it needs");
  return gh_result_set(
      err, row, GH_RESULT_SHARE_NOTE,
      "above what copy and triad reach: the op reads more than it writes, keeps parts in a nearer cache, or "
      "does not touch all that is counted");
}

static gh_status share(gh_error *err, const gh_results *rows, gh_result *row) {
  const gh_result *flops = arithmetic_peak(rows, row), *bytes = memory_peak(rows, row);
  const double by_flops = ratio(row, flops, GH_RESULT_GFLOPS), by_bytes = ratio(row, bytes, GH_RESULT_GBYTES);
  const double nearer = fmax(by_flops, by_bytes); /* fmax ignores NaN */
  gh_result_put(row, GH_RESULT_SHARE, nearer);
  gh_status status = gh_result_set(err, row, GH_RESULT_SHARE_NOTE, NULL);
  if (status) return status;
  if (isnan(nearer))
    return gh_result_set(err, row, GH_RESULT_SHARE_NOTE, "no peak of this hardware was measured with this clock");
  const bool arithmetic = by_flops == nearer;
  status = name_peak(err, row, arithmetic ? flops : bytes, arithmetic);
  return status ? status : note_excess(err, row, nearer, arithmetic);
}

gh_status gh_results_share(gh_error *err, gh_results *rows) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < rows->count && !status; i++) {
    gh_result *row = &rows->items[i];
    const bool rated =
        isfinite(gh_result_number(row, GH_RESULT_GFLOPS)) || isfinite(gh_result_number(row, GH_RESULT_GBYTES));
    if (is_ok(row, NULL) && rated && !is_ok(row, "peak")) status = share(err, rows, row);
  }
  return status;
}
