/* "sync_every": H: each rank makes H updates by itself, on its share of every batch, then the ranks average their
 * parameters with an outer momentum (DiLoCo, Douillard et al. 2023, algorithm 1, with Nesterov's momentum): far fewer
 * bytes travel. Moments are averaged as well, so that after an average all ranks are alike and a state is one. */
#ifndef GH_TRAIN_RANKS_LOCAL_H
#define GH_TRAIN_RANKS_LOCAL_H

#include "train/ranks.h"

bool gh_ranks_are_local(const gh_ranks *ranks); /* NULL: no */
/* Whether an average follows this update (1, 2, ...) of a stage. */
bool gh_ranks_average_due(const gh_ranks *ranks, int64_t update);

/* Keeps the parameters, which all ranks have alike, as the last average. */
gh_status gh_ranks_keep(gh_error *err, gh_ranks *ranks);

/* After an update with which an average is due. own: how this rank's updates since the last one went. Sets ranks->stop
 * and ranks->save. */
gh_status gh_ranks_average(gh_error *err, gh_ranks *ranks, gh_status own, const gh_ranks_wish *wish);

/* One outer step: change = before - average; momentum <- mu momentum + change; before <- before - lr (change + mu
 * momentum). before, momentum, average (n). */
void gh_outer_step(float *before, float *momentum, const float *average, size_t n, double lr, double mu);

#endif
