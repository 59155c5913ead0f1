/* plan.json: the choices that timing made for a run. They are frozen, so that the results do not change when the run
 * resumes. */
#ifndef GH_TRAIN_FROZEN_CHOICES_H
#define GH_TRAIN_FROZEN_CHOICES_H

#include "backend/backend.h"
#include "base/checksum.h"
#include "base/json.h"

/* The device, its driver, the kernels' shape, the micro-batch (samples) and the provider of every matrix product; the
 * caller frees *out. */
gh_status gh_choices_describe(gh_error *err, const gh_device *device, int64_t micro_batch, gh_json **out);
/* Makes the device use the choices of the plan. A plan from another device is ignored, with a warning. */
gh_status gh_choices_freeze(gh_error *err, gh_device *device, const gh_json *plan);
/* The same for the plan of another rank: one of another kind of device is ignored. */
gh_status gh_choices_adopt(gh_error *err, gh_device *device, const gh_json *plan);
/* RUN/plan.json, sealed (base/checksum.h). Restoring makes the device use its choices, if it exists and is of this
 * device; a damaged one is ignored with a warning. */
gh_status gh_choices_write(gh_error *err, const char *run, const gh_json *plan);
gh_status gh_choices_restore(gh_error *err, gh_device *device, const char *run);

/* GH_ERROR_CONFIG names the first key in which the configuration differs from an interrupted run's. Keys that do not
 * change its results (device, workers, steps, checkpoints, ...) are ignored. */
gh_status gh_choices_same_run(gh_error *err, const gh_json *config, const gh_json *before);
/* Identifies what decides a run's results: the hash of its configuration without the keys that are ignored there. */
gh_status gh_choices_config_hash(gh_error *err, const gh_json *config, char out[GH_CHECKSUM_TEXT]);
/* The same for the steps: GH_ERROR_CONFIG if the stage of the state has fewer steps than updates done, or if the steps
 * of a finished stage changed. */
gh_status gh_choices_steps_left(gh_error *err, const gh_json *config, const gh_json *before, int stage, int64_t update);

#endif
