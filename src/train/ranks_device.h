/* "reduce": "fast" where every rank's device is of the same vendor, whose library sums over them
 * (gh_backend.group_sum): gradients do not pass through the host's memory. Loss and logged numbers still do. */
#ifndef GH_TRAIN_RANKS_DEVICE_H
#define GH_TRAIN_RANKS_DEVICE_H

#include "train/ranks.h"

/* All ranks call it at the start of a stage: whether the devices sum (ranks->on_devices), and if so, makes them join.
 * GH_ERROR_UNSUPPORTED where their library is missing on a rank. */
gh_status gh_ranks_join(gh_error *err, gh_ranks *ranks);
/* Hands the next bucket, which is complete once the launches so far have run, to the devices; the first one of an
 * update after an agreement, in which the ranks say whether they can give their gradients (own; flags), and whose flags
 * are then in ranks->agreed_flags. */
gh_status gh_ranks_give_on_device(gh_error *err, gh_ranks *ranks, gh_status own, unsigned flags);
/* Gives what is left, and waits for all. A failure after the first sum ends the job when the process exits. */
gh_status gh_ranks_sum_on_devices(gh_error *err, gh_ranks *ranks, gh_status own, unsigned flags);

#endif
