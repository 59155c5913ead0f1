/* Bootstrap intervals: units (images) are drawn with replacement, 2000 times. */
#ifndef GH_EVAL_INTERVAL_H
#define GH_EVAL_INTERVAL_H

#include "base/random.h"

/* A mean with its 95 % interval. */
typedef struct gh_interval {
  double value, low, high;
} gh_interval;

/* The percentile interval of sum(sums) / sum(counts); sums (n), counts (n) or NULL for n ones. */
gh_status gh_bootstrap(gh_error *err, double *low, double *high, const double *sums, const double *counts, int64_t n,
                       gh_stream stream);
/* The mean of n >= 1 values, with that interval. */
gh_status gh_bootstrap_mean(gh_error *err, gh_interval *out, const double *values, int64_t n, gh_stream stream);

#endif
