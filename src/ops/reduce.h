/* Column reductions (mechanism 3 of cl/platform.h): bias, scale and modulation gradients. */
#ifndef GH_OPS_REDUCE_H
#define GH_OPS_REDUCE_H

#include "graph/graph.h"

/* Records scale * sum over rows of x, viewed as (rows, columns) -> shape of `like` (columns elements). */
gh_tensor *gh_column_sum(gh_graph *g, gh_tensor *x, int64_t rows, int64_t columns, double scale, const gh_tensor *like);
/* The same with x viewed as (segments, rows, columns) -> shape of `like` (segments x columns elements). */
gh_tensor *gh_segment_sum(gh_graph *g, gh_tensor *x, int64_t segments, int64_t rows, int64_t columns, double scale,
                          const gh_tensor *like);
/* Sum over rows of a * (x - mean) * rstd, a and x viewed as (segments, rows, columns) -> shape of `like`. mean and rstd
 * (segments x rows); NULL: 0 and 1. */
gh_tensor *gh_segment_dot(gh_graph *g, gh_tensor *a, gh_tensor *x, gh_tensor *mean, gh_tensor *rstd, int64_t segments,
                          int64_t rows, int64_t columns, const gh_tensor *like);

/* Pass 2 for ops with their own pass 1: out (segments, columns) (+)= scale * the sum over each segment's `chunks`
 * partials (segments, chunks, columns). */
gh_status gh_record_partials(gh_recorder *r, const gh_node *node, const gh_tensor *out, const gh_tensor *partials,
                             int64_t segments, int64_t chunks, int64_t columns, double scale, bool accumulate);

#endif
