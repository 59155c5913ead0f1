/* What TensorBoard shows of a run's snapshots: histograms of how far each adapted layer is from the model, and
 * pictures. */
#ifndef GH_TRAIN_SNAPSHOT_EVENTS_H
#define GH_TRAIN_SNAPSHOT_EVENTS_H

#include "io/image.h"

/* Appends the histogram of the norms of the changes to the adapted layers' weights, in the snapshot after that update.
 */
gh_status gh_adapter_event(gh_error *err, const char *run, int stage, int64_t update);

/* The same for every snapshot before (stage, update): a run that is resumed at a snapshot writes that one again. A
 * damaged one is left out with a warning. */
gh_status gh_snapshot_events(gh_error *err, const char *run, int stage, int64_t update);

/* Writes a picture of a snapshot into a file of its own, RUN/tensorboard/pictures/, in place of an earlier one: a run
 * that is resumed rewrites its other events. */
gh_status gh_picture_event(gh_error *err, const char *run, int stage, int64_t update, const gh_image *picture);

#endif
