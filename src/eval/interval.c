#include "eval/interval.h"
#include "base/array.h"

#include <stdlib.h>

#define BOOTSTRAPS 2000

gh_status gh_bootstrap(gh_error *err, double *low, double *high, const double *sums, const double *counts, int64_t n,
                       gh_stream stream) {
  double *values = gh_alloc(err, BOOTSTRAPS, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  for (int64_t b = 0; b < BOOTSTRAPS; b++) {
    double sum = 0, total = 0;
    for (int64_t i = 0; i < n; i++) {
      uint64_t at = gh_stream_below(stream, (uint64_t)b, i, (uint64_t)n);
      sum += sums[at];
      total += counts ? counts[at] : 1;
    }
    values[b] = sum / total;
  }
  gh_sort_doubles(values, BOOTSTRAPS);
  *low = values[(int)(0.025 * BOOTSTRAPS)];
  *high = values[(int)(0.975 * BOOTSTRAPS) - 1];
  free(values);
  return GH_OK;
}

gh_status gh_bootstrap_mean(gh_error *err, gh_interval *out, const double *values, int64_t n, gh_stream stream) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += values[i];
  out->value = sum / (double)n;
  return gh_bootstrap(err, &out->low, &out->high, values, NULL, n, stream);
}
