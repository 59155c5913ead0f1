/* Which gradients travel together, and from when on: the backward pass completes them one after the other, so that the
 * first can be summed over ranks while the rest is computed. */
#ifndef GH_TRAIN_BUCKETS_H
#define GH_TRAIN_BUCKETS_H

#include "dist/comm.h"
#include "train/update.h"

typedef struct gh_bucket {
  int first, count; /* parameters order[first .. first + count) */
  int launches;     /* of the step: after so many, their gradients are complete */
  size_t at, size;  /* of the values */
  size_t *starts;   /* (ranks + 1) where each owner's part begins, from `at` on; NULL: the gradients have no owners */
} gh_bucket;

typedef struct gh_buckets {
  gh_bucket *items; /* in the order in which they are complete */
  int count;
  int *order;    /* the update's parameters by bucket */
  size_t *at;    /* (parameters) where each one's gradient is among the values */
  size_t values; /* in all */
  size_t *starts;
} gh_buckets;

/* All ranks call it, and take rank 0's buckets. Where the update is divided among ranks (gh_shard), the owners' parts
 * of a bucket lie one after the other.
 *
 * Buckets of at least `least` values, except the last. step is planned, and update belongs to it. Free with
 * gh_buckets_free, after a failure too. */
gh_status gh_buckets_plan(gh_error *err, gh_buckets *out, gh_comm *comm, const gh_graph *step, const gh_update *update,
                          size_t least);
void gh_buckets_free(gh_buckets *buckets); /* an empty one is fine */

#endif
