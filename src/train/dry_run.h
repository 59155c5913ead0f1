/* What `train --dry-run` reports after the budget: the kernel of each matrix product, convolution and attention, and
 * the time of an update, measured on a replay of the planned step. */
#ifndef GH_TRAIN_DRY_RUN_H
#define GH_TRAIN_DRY_RUN_H

#include "train/loop.h"

/* For a planned loop: writes "products", "update_seconds", "update_flop" and "images_per_second" into the object
 * `into`, and to stdout unless the loop is quiet. Runs the step twice on whatever its inputs contain, and the update
 * once, which changes parameters and moments. */
gh_status gh_dry_run_report(gh_error *err, gh_loop *loop, gh_json *into);

#endif
