/* The update as a graph: gradient norm, clip factor, AdamW on every trainable parameter, gradients cleared. When the
 * loss or the norm is not finite, it only raises a flag, so that the previous state survives. */
#ifndef GH_TRAIN_UPDATE_H
#define GH_TRAIN_UPDATE_H

#include "config/config.h"
#include "method/step.h"

typedef struct gh_update {
  gh_graph *graph;
  gh_tensor *control;               /* (16), cl/step.h */
  gh_tensor **parameters, **m, **v; /* (count) each, in the store's order */
  int count;
  gh_tensor *logs[GH_STEP_LOGS]; /* of the step */
  int log_count;
  gh_tensor *carried[GH_STEP_CARRIED]; /* of the step */
  int carried_count;
} gh_update;

typedef struct gh_update_result {
  double loss, norm;
  bool bad;                  /* not finite: nothing was updated */
  double logs[GH_STEP_LOGS]; /* the numbers that the step logs */
} gh_update_result;

/* Records over every trainable parameter of the store; moments are created there as "adam.m.<name>" and
 * "adam.v.<name>". */
gh_status gh_update_record(gh_error *err, gh_device *device, gh_store *store, const gh_optimizer_config *optimizer,
                           const gh_step *step, gh_update *update);
void gh_update_free(gh_update *update);
/* Waits for the device: the one synchronisation of a step. */
gh_status gh_update_read(gh_error *err, gh_device *device, const gh_update *update, gh_update_result *result);

#endif
