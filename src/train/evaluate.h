/* Evaluations during stage 2, and the guard over them (the configuration's "evaluate" and "stage2.guard").
 *
 *   "evaluate": [{"kind": "mmvp", "data": DIR},
 *                {"kind": "zeroshot", "data": DIR, "labels": null, "classes": null, "templates": null},
 *                {"kind": "retrieval", "data": DIR, "captions": null}]
 *
 * each with "name" (default: the kind; two of one kind need different names) and "batch" (32). The encoder is measured
 * before the first update and at every snapshot, with the weights that the snapshot's file holds. A float32 run uses
 * its own weights in place; in mixed precision the encoder is measured in float32, in a separate model. Scores are per
 * cent: NAME (MMVP's average), NAME.top1, NAME.top5, NAME.image@5, NAME.text@5.
 *
 *   "stage2.guard": {"watch": SCORE, "points": 0.3, "action": "mark", "best": SCORE}
 *
 * A snapshot whose watched score (default: the first zero-shot's top-1) is more than `points` below the score before
 * training is marked, or with "action": "stop" ends the run. best.json names the snapshot with the greatest "best"
 * score (default: the first MMVP's, else the first score) among those that the guard did not mark; the earliest of
 * equal ones.
 *
 * RUN/evaluations.jsonl has one line per measurement; a resumed run appends to it. */
#ifndef GH_TRAIN_EVALUATE_H
#define GH_TRAIN_EVALUATE_H

#include "dist/comm.h"
#include "train/budget.h"

typedef struct gh_evaluator gh_evaluator;

/* Checks both keys and reads the data that they name, so that errors show now, not later. `decode`: also decodes every
 * picture, which takes about as long as reading them for one evaluation; the error names the first broken one. */
gh_status gh_evaluate_check(gh_error *err, const gh_config *config, bool decode);

/* The device memory of "evaluate": fills in evaluation_bytes and start_bytes, 0 where "evaluate" is empty. Nothing is
 * allocated. `lora`: the adapter of stage 2, or NULL. */
gh_status gh_evaluate_measure(gh_error *err, const gh_config *config, gh_device *device, const gh_lora *lora,
                              gh_budget *budget);

/* Opens the measures of "evaluate" (*out NULL: there are none): embeds the texts, reads the history, and measures the
 * encoder before training unless the history has that. Call it before training allocates its memory.
 *
 * All ranks of comm (NULL: one process) call this and gh_evaluator_run: they divide lines and pictures by whole
 * batches, which gives the bits of one process on devices of one kind. Rank 0 alone has the history and writes.
 * GH_ERROR_CONFIG names a rank that has other data. */
gh_status gh_evaluator_open(gh_error *err, gh_evaluator **out, const gh_config *config, gh_device *device,
                            gh_comm *comm, bool quiet);
void gh_evaluator_free(gh_evaluator *e); /* NULL is fine */

/* From this call on, snapshots are measured with the training's own weights where those are float32. Whenever
 * gh_evaluator_run is called, `store` must hold the weights of the newest snapshot. store and lora must outlive the
 * evaluator. e and lora may be NULL. */
void gh_evaluator_share(gh_evaluator *e, gh_store *store, const gh_lora *lora);

/* Measures the snapshot after that update, unless the history has it. *stop is set, on rank 0, if the guard ends the
 * run.
 */
gh_status gh_evaluator_run(gh_error *err, gh_evaluator *e, int64_t update, bool *stop);

/* The content of best.json. */
typedef struct gh_best {
  char snapshot[32]; /* "stage2-00000050"; empty: no snapshot was measured */
  char score[64];
  int64_t update;
  double value, start;
  bool within;  /* within the guard's points */
  bool stopped; /* by the guard */
  int64_t stopped_at;
} gh_best;
void gh_evaluator_best(const gh_evaluator *e, gh_best *out);

#endif
