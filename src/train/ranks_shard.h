/* An update that is divided among ranks ("shard": "optimizer"): each updates the parameters that it keeps, and gives
 * them to all. Rank 0 writes and reads states and snapshots; meanwhile the others serve it with what they keep. */
#ifndef GH_TRAIN_RANKS_SHARD_H
#define GH_TRAIN_RANKS_SHARD_H

#include "train/ranks.h"

/* Lets the update read and write on rank 0 what other ranks keep. */
void gh_ranks_connect(gh_ranks *ranks, gh_update *update);

/* Runs the update's graph, whose gradients have been reduced. The bits are those of the undivided update. */
gh_status gh_ranks_update(gh_error *err, gh_ranks *ranks);
/* Each rank's parameters to all. `own`: a failure of this rank, which the others learn of in the next agreement: they
 * are in the middle of the transfer. */
gh_status gh_ranks_spread(gh_error *err, gh_ranks *ranks, gh_status own);

/* Work of rank 0 that may need what other ranks keep: it calls `work` with `user` unless `own` is a failure, while the
 * others serve it. patience: seconds that one may let the other wait; 0: without limit. Returns this rank's
 * status, on which no agreement has been made. Where nothing is divided, only rank 0 does anything. */
typedef gh_status gh_ranks_work(gh_error *err, void *user);
gh_status gh_ranks_serve(gh_error *err, gh_ranks *ranks, gh_status own, double patience, gh_ranks_work *work,
                         void *user);

#endif
