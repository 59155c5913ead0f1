/* How ranks that train together start: they compare what they were given, and share what only rank 0 reads and
 * chooses. Each of these is a call that all ranks make (dist/comm.h); with comm NULL they do nothing. */
#ifndef GH_TRAIN_RANKS_START_H
#define GH_TRAIN_RANKS_START_H

#include "data/image_set.h"
#include "dist/comm.h"
#include "method/models.h"
#include "train/state.h"

/* GH_ERROR_CONFIG names the rank and the first difference: of program and configuration (its keys of paths and of the
 * machine may differ), of images, of model files. */
gh_status gh_ranks_same_config(gh_error *err, gh_comm *comm, const gh_config *config);
gh_status gh_ranks_same_images(gh_error *err, gh_comm *comm, const gh_image_set *images);
gh_status gh_ranks_same_models(gh_error *err, gh_comm *comm, const gh_models *models);

/* Rank 0's state to resume from, to all: its folder and info. */
gh_status gh_ranks_share_state(gh_error *err, gh_comm *comm, char **folder, gh_state_info *from);

/* Rank 0's kernels to all ranks whose device is of its kind, so that they compute the same bits. The others choose
 * their own. */
gh_status gh_ranks_share_choices(gh_error *err, gh_comm *comm, gh_device *device, int64_t micro_batch);
/* Adds to rank 0's plan those of the ranks that differ: "ranks": [{"rank": 1, "plan": {...}}]. */
gh_status gh_ranks_gather_plans(gh_error *err, gh_comm *comm, gh_json *plan);
/* The plan of this rank in a state's; the state's own where it has none for the rank. */
const gh_json *gh_ranks_plan(const gh_comm *comm, const gh_json *plan);

/* A line per rank in rank 0's log: "rank 1 on HOST: " and the text. */
gh_status gh_ranks_report(gh_error *err, gh_comm *comm, const char *text);

#endif
