/* A recorded op with its gradient, alone in its own memory, and the time of both passes. */
#ifndef GH_BENCH_CASE_H
#define GH_BENCH_CASE_H

#include "bench/measure.h"
#include "graph/graph.h"

const gh_op *gh_op_named(const char *name); /* of the op table; NULL if there is none */

typedef struct gh_op_time {
  gh_bench_sample sample; /* repeats 0: there is nothing to run */
  double flops;           /* as the ops count them */
  bool nominal;           /* a provider computes less than that (Winograd) */
  double bytes;           /* every tensor that a node reads or writes, once per node */
  double working_set;     /* bytes of the distinct tensors among them */
  char provider[96];      /* of the launch with the most arithmetic */
} gh_op_time;

typedef struct gh_op_bench {
  gh_op_time forward, backward;
} gh_op_bench;

typedef struct gh_case {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
} gh_case;

gh_status gh_case_open(gh_error *err, gh_case *c, gh_device *device);
void gh_case_close(gh_case *c); /* an empty or half-built one is fine */

/* A tensor of arbitrary numbers: between -1 and 1, or integers of [0, below); of zeros if its type is GH_U32. */
gh_status gh_case_tensor(gh_error *err, gh_case *c, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                         int32_t below, gh_tensor **out);
gh_status gh_case_fill(gh_error *err, gh_case *c, gh_tensor *t); /* the same for a tensor that is already there */
/* Differentiates from `out` (NULL: there is no gradient) with arbitrary numbers as its gradient, keeps what is to be
 * computed, and plans. `in` may have NULLs. */
gh_status gh_case_plan(gh_error *err, gh_case *c, gh_tensor *out, gh_tensor *const *in, int inputs);
gh_status gh_case_time(gh_error *err, gh_case *c, const gh_bench_repeats *how, gh_op_bench *out);

#endif
