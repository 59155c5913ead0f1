/* How long an update takes on N ranks: a model of the computation and of the sums of gradients, from the measured time
 * of a micro-batch and a link. Its assumptions are those of docs/clusters.md; runs on several ranks check it. */
#ifndef GH_BENCH_SCALING_H
#define GH_BENCH_SCALING_H

#include "base/json.h"

typedef struct gh_scaling {
  int stage;
  int64_t batch, micro_batch;
  double step;             /* seconds per micro-batch on one device */
  double bytes, bucket;    /* of gradients as they travel; per bucket */
  double bandwidth, delay; /* bytes per second that a rank sends while it receives as many and all others do so, too;
                              seconds one way */
} gh_scaling;

/* The same on ranks that share so many processors, each of which one rank keeps busy (0: every rank has its own). */
gh_scaling gh_scaling_shared(const gh_scaling *model, int64_t ranks, int64_t processors);

/* What a finished run measured: medians over its updates but the first. */
typedef struct gh_scaling_run {
  int ranks;
  double seconds; /* per update */
  double waiting; /* the least share that a rank waited */
} gh_scaling_run;

/* Reads a run's stage: its measurement and, into `model`, batch, micro-batch, bytes and bucket. GH_ERROR_FORMAT where
 * it has fewer than three updates. */
gh_status gh_scaling_read(gh_error *err, const char *run, int stage, gh_scaling *model, gh_scaling_run *out);

/* Seconds per update of `batch` samples; half of the ranks compute `slow` times as fast as the others (1: all alike)
 * and have shares by their speed. */
double gh_scaling_seconds(const gh_scaling *model, int64_t ranks, int64_t batch, double slow);
/* The speed of all ranks together as a share of what their devices could compute. */
double gh_scaling_efficiency(const gh_scaling *model, int64_t ranks, int64_t batch, double slow);
/* The smallest batch of whole micro-batches with that efficiency on so many ranks alike; 0: none up to 4096
 * micro-batches per rank. */
int64_t gh_scaling_least_batch(const gh_scaling *model, int64_t ranks, double efficiency);
/* The slowest link, bytes per second, with that efficiency; 0: none is fast enough. */
double gh_scaling_least_bandwidth(const gh_scaling *model, int64_t ranks, int64_t batch, double efficiency);

#endif
