/* "shard": "optimizer": which of the ranks that train together keeps the moments of a parameter and, in mixed
 * precision, its float32 values. "gradients": and its gradient. */
#ifndef GH_TRAIN_SHARD_H
#define GH_TRAIN_SHARD_H

#include "train/sketch.h"

/* Finds the trained parameters of a step of this spec, and gives the largest first to the rank that has least: all
 * ranks find the same. how: rank, ranks, gradients and window are used. Free with gh_shard_free. */
gh_status gh_shard_find(gh_error *err, gh_shard *out, const gh_step_spec *spec, const gh_shard *how);
void gh_shard_free(gh_shard *shard); /* an empty one is fine */

#endif
