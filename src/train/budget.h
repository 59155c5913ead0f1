/* The device memory and work of a stage, computed before anything is allocated: the step is recorded on a store without
 * memory. */
#ifndef GH_TRAIN_BUDGET_H
#define GH_TRAIN_BUDGET_H

#include "base/json.h"
#include "train/update.h"

typedef struct gh_budget {
  int64_t parameters_trained, parameters_frozen; /* elements */
  int64_t lasting_bytes;    /* persistent: parameters, gradients, moments, inputs; staging buffers excluded */
  int64_t host_bytes;       /* persistent in the host's memory, where that is not the device's (memory.offload) */
  int64_t step_bytes;       /* intermediate values of the step and of the update, at their peaks */
  int64_t evaluation_bytes; /* in addition, while a snapshot is evaluated */
  int64_t start_bytes;      /* before training allocates, while the initial encoder is evaluated */
  double flops;             /* of a micro-batch */
  char largest[240];        /* the largest tensors, with their sizes */
} gh_budget;

/* The most device memory in use at once. */
int64_t gh_budget_peak(const gh_budget *budget);

/* Describes a recorded and planned (or measured) step and its update. */
void gh_budget_describe(gh_budget *budget, const gh_store *store, const gh_step *step, const gh_update *update);

/* Records `spec` (its store is replaced) with its update and measures both. */
gh_status gh_budget_measure(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer,
                            gh_budget *budget);

/* The same; also chooses the providers of its matrix products (gh_graph_choose). */
gh_status gh_budget_choose(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer);

/* GH_ERROR_MEMORY where the budget exceeds the device memory; the text names the largest tensors and what would
 * help; or where its part in the host's memory exceeds that. */
gh_status gh_budget_check(gh_error *err, const gh_device *device, const gh_budget *budget, int64_t micro_batch,
                          bool recompute);

/* Uses the requested values or fails; chooses the open ones (spec->batch 0: the micro-batch; recomputation "auto") so
 * that the step fits on every device. Open recomputation is switched on where the step does not fit without it. Then an
 * open micro-batch is halved until the step fits. Fills in spec->batch and spec->recompute; spec->device and
 * spec->store are ignored. `budget` gets the values of the last device; the caller sets its evaluation_bytes and
 * start_bytes. */
gh_status gh_budget_fit(gh_error *err, gh_step_spec *spec, const gh_stage_config *stage, gh_recompute recompute,
                        gh_device *const *devices, int count, gh_budget *budget);

/* Gives a few lines for the user, without newlines, to `print`. */
typedef void gh_budget_line(const char *line);
void gh_budget_lines(const gh_device *device, const char *label, const gh_budget *budget, int64_t micro_batch,
                     bool recompute, gh_budget_line *print);
/* Logs them. */
void gh_budget_print(const gh_device *device, const char *label, const gh_budget *budget, int64_t micro_batch,
                     bool recompute);

/* The same as JSON, with the micro-batch: {"parameters_trained", ..., "peak_bytes", "flop_per_micro_batch",
 * "micro_batch", "recompute"}; NULL when memory runs out. */
gh_json *gh_budget_json(gh_error *err, const gh_budget *budget, int64_t micro_batch, bool recompute);

#endif
