/* What `train --dry-run` says after the budget: which kernel does each matrix product, convolution and attention, and
 * how long an update will take, from a replay of the planned step. */
#ifndef GH_TRAIN_DRY_RUN_H
#define GH_TRAIN_DRY_RUN_H

#include "train/loop.h"

/* For a planned loop: "products", "update_seconds", "update_flop" and "images_per_second" of the object `into`, and on
 * stdout unless the loop is quiet. Runs the step twice on whatever its inputs hold: parameters and moments are changed.
 */
gh_status gh_dry_run_report(gh_error *err, gh_loop *loop, gh_json *into);

#endif
