/* Evaluations during stage 2, and the guard over them (the configuration's
 * "evaluate" and "stage2.guard").
 *
 *   "evaluate": [{"kind": "mmvp", "data": DIR},
 *                {"kind": "zeroshot", "data": DIR, "labels": null, "classes":
 * null, "templates": null},
 *                {"kind": "retrieval", "data": DIR, "captions": null}]
 *
 * each with "name" (default: the kind; two of one kind need names of their own)
 * and "batch" (32). The encoder is measured before the first update and at
 * every snapshot: what is measured is what the snapshot's file says. A float32
 * run's own weights are used where they lie; in mixed precision the encoder is
 * measured in float32, in a model of its own beside the training's. Scores are per cent: NAME (MMVP's average),
 * NAME.top1, NAME.top5, NAME.image@5, NAME.text@5.
 *
 *   "stage2.guard": {"watch": SCORE, "points": 0.3, "action": "mark", "best":
 * SCORE}
 *
 * A snapshot whose watched score (default: the first zero-shot's top-1) lies
 * more than `points` below the start's is marked, or with "action": "stop" ends
 * the run. best.json names the snapshot with the greatest "best" score
 * (default: the first MMVP's, else the first score) among those that the guard
 * did not mark; of equal ones the earliest.
 *
 * RUN/evaluations.jsonl has a line a measurement; a resumed run goes on with
 * it. */
#ifndef GH_TRAIN_EVALUATE_H
#define GH_TRAIN_EVALUATE_H

#include "train/budget.h"

typedef struct gh_evaluator gh_evaluator;

/* Checks both keys and reads the data that they name, so that nothing is wrong
 * with them later. `decode`: every picture too, which takes about as long as
 * reading them for one evaluation; the first that is broken is named. */
gh_status gh_evaluate_check(gh_error *err, const gh_config *config, bool decode);

/* What "evaluate" takes on the device: fills in evaluation_bytes and
 * start_bytes, with 0 where nothing is asked for. Nothing is allocated. `lora`:
 * what stage 2 adapts the encoder with, or NULL. */
gh_status gh_evaluate_measure(gh_error *err, const gh_config *config, gh_device *device, const gh_lora *lora,
                              gh_budget *budget);

/* Opens what "evaluate" asks for (*out NULL: nothing): embeds the texts, reads
 * the history, and measures the start where the history lacks it. To be called
 * before training has its memory. */
gh_status gh_evaluator_open(gh_error *err, gh_evaluator **out, const gh_config *config, gh_device *device, bool quiet);
void gh_evaluator_free(gh_evaluator *e); /* NULL is fine */

/* From here on snapshots are measured with the training's own weights, where
 * those are float32: `store` holds what the newest snapshot does whenever
 * gh_evaluator_run is called, and both outlive the evaluator. e and lora may
 * be NULL. */
void gh_evaluator_share(gh_evaluator *e, gh_store *store, const gh_lora *lora);

/* Measures the snapshot after that update, unless the history has it; *stop:
 * the guard ends the run. */
gh_status gh_evaluator_run(gh_error *err, gh_evaluator *e, int64_t update, bool *stop);

/* What best.json says. */
typedef struct gh_best {
  char snapshot[32]; /* "stage2-00000050"; empty: no snapshot was measured */
  char score[64];
  int64_t update;
  double value, start;
  bool within;  /* the guard's points */
  bool stopped; /* by the guard */
  int64_t stopped_at;
} gh_best;
void gh_evaluator_best(const gh_evaluator *e, gh_best *out);

#endif
