/* plan.json: the choices of a run that timing made, frozen, so that they do not change its results when it goes on. */
#ifndef GH_TRAIN_FROZEN_CHOICES_H
#define GH_TRAIN_FROZEN_CHOICES_H

#include "backend/backend.h"
#include "base/json.h"

/* The device, its driver, the kernels' shape, the micro-batch (samples) and the provider of every matrix product; the
 * caller frees *out. */
gh_status gh_choices_describe(gh_error *err, const gh_device *device, int64_t micro_batch, gh_json **out);
/* Makes the device choose what the plan says; with a warning nothing, where it was made on another device. */
gh_status gh_choices_freeze(gh_error *err, gh_device *device, const gh_json *plan);
/* RUN/plan.json. */
gh_status gh_choices_write(gh_error *err, const char *run, const gh_json *plan);

/* GH_ERROR_CONFIG names the first key in which the configuration differs from an interrupted run's, apart from those
 * that do not change its results (device, workers, steps, checkpoints, ...). */
gh_status gh_choices_same_run(gh_error *err, const gh_json *config, const gh_json *before);
/* The same for the steps: GH_ERROR_CONFIG if less are wanted than the state's (stage, update) has, or other ones of a
 * stage that is over. */
gh_status gh_choices_steps_left(gh_error *err, const gh_json *config, const gh_json *before, int stage, int64_t update);

#endif
