/* Snapshots: the trained weights, in files that other tools open. */
#ifndef GH_TRAIN_SNAPSHOT_H
#define GH_TRAIN_SNAPSHOT_H

#include "config/run.h"
#include "train/update.h"

/* Writes RUN/snapshots/stageK-NNNNNNNN (config/run.h) from the trainable parameters. `lora`: the adapter that
 * was trained, or NULL. A folder appears only when complete. */
gh_status gh_snapshot_write(gh_error *err, const char *run, gh_device *device, const gh_update *update,
                            const gh_config *config, const gh_lora *lora, int stage, int64_t number);

#endif
