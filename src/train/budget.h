/* What a stage takes on the device, known before anything is allocated: the step is recorded on a store without memory.
 */
#ifndef GH_TRAIN_BUDGET_H
#define GH_TRAIN_BUDGET_H

#include "base/json.h"
#include "train/update.h"

typedef struct gh_budget {
  int64_t parameters_trained, parameters_frozen; /* elements */
  int64_t lasting_bytes;                         /* parameters, gradients, moments, inputs; no staging of sends */
  int64_t step_bytes;                            /* values of the step and of the update, at their peaks */
  int64_t evaluation_bytes;                      /* beside all that, while a snapshot is measured */
  int64_t start_bytes;                           /* before any of that is there, while the start is measured */
  double flops;                                  /* of a micro-batch */
  char largest[240];                             /* the largest tensors, with their sizes */
} gh_budget;

/* The most that is in use at once. */
int64_t gh_budget_peak(const gh_budget *budget);

/* What a recorded and planned (or measured) step and its update take. */
void gh_budget_describe(gh_budget *budget, const gh_store *store, const gh_step *step, const gh_update *update);

/* Records `spec` (its store is replaced) with its update and measures both. */
gh_status gh_budget_measure(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer,
                            gh_budget *budget);

/* The same, and the providers of its matrix products are chosen (gh_graph_choose). */
gh_status gh_budget_choose(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer);

/* GH_ERROR_MEMORY when it cannot fit the device, naming the largest tensors and what would help. */
gh_status gh_budget_check(gh_error *err, const gh_device *device, const gh_budget *budget, int64_t micro_batch,
                          bool recompute);

/* What was asked for is taken or refused; what was left open (spec->batch 0: the micro-batch; recomputation "auto") is
 * chosen so that every one of the devices can hold it. A recomputation left open is used where it does not fit without;
 * then a micro-batch left open is halved until it does. Fills in spec->batch and spec->recompute; spec->device and
 * spec->store are not looked at. `budget` is the last device's; its evaluation_bytes and start_bytes are the caller's.
 */
gh_status gh_budget_fit(gh_error *err, gh_step_spec *spec, const gh_stage_config *stage, gh_recompute recompute,
                        gh_device *const *devices, int count, gh_budget *budget);

/* A few lines for the user. */
void gh_budget_print(const gh_device *device, const char *label, const gh_budget *budget, int64_t micro_batch,
                     bool recompute);

/* The same as JSON, with the micro-batch: {"parameters_trained", ..., "peak_bytes", "flop_per_micro_batch",
 * "micro_batch", "recompute"}; NULL when memory runs out. */
gh_json *gh_budget_json(gh_error *err, const gh_budget *budget, int64_t micro_batch, bool recompute);

#endif
