/* The ops at the shapes of a real step, for timing: ViT-L/14 at 224 pixels, a denoiser 3072 wide, FLUX's autoencoder.
 * A case records one op and, where it has one, its gradient. */
#ifndef GH_BENCH_OPS_H
#define GH_BENCH_OPS_H

#include "graph/graph.h"

typedef struct gh_op_time {
  double seconds; /* the shortest of the repeats; 0: there is nothing to run */
  double flops;   /* as the ops count them */
  double bytes;   /* every tensor that a node reads or writes, once per node */
} gh_op_time;

typedef struct gh_op_bench {
  gh_op_time forward, backward;
} gh_op_bench;

int gh_op_case_count(void);
/* The name of the case's op; *label describes its shapes (without the batch). */
const char *gh_op_case_name(int index, const char **label);

/* Times one case with `batch` samples, in memory of its own; `now` is a clock in seconds. */
gh_status gh_op_case_run(gh_error *err, gh_device *device, int index, int64_t batch, int repeats, double (*now)(void),
                         gh_op_bench *out);

#endif
