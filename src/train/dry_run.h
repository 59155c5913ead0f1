/* What `train --dry-run` reports: a verdict on both stages (whether each fits, how long it takes, what would make it
 * fit), then the budget and, on request, the kernel of each matrix product, convolution and attention. */
#ifndef GH_TRAIN_DRY_RUN_H
#define GH_TRAIN_DRY_RUN_H

#include "train/helps.h"
#include "train/loop.h"

typedef struct gh_dry_row { /* a distinct matrix product, convolution or attention */
  char shape[112];
  char by[64];
  int count; /* launches per step */
  double flops;
} gh_dry_row;

typedef struct gh_dry_rank { /* the plan of one of several processes */
  int64_t samples, micro_batch;
  int64_t kept; /* elements that it updates */
  bool recompute;
  gh_budget budget;
} gh_dry_rank;

typedef struct gh_dry_stage {
  bool skipped; /* the stage has no updates */
  bool planned; /* its models can be opened */
  bool fits;
  char refusal[GH_ERROR_TEXT_SIZE]; /* why not */
  gh_help helps[GH_HELPS];
  int help_count;
  gh_budget budget; /* where it does not fit: the smallest that was tried */
  int64_t micro_batch, batch, steps;
  bool recompute;
  gh_dry_rank *ranks; /* (rank_count), for several processes; then the times below are rank 0's */
  int rank_count;
  /* Where it fits. */
  gh_dry_row *rows; /* most arithmetic first */
  int row_count, launches;
  double flops, step_seconds, update_seconds; /* of a micro-batch; of the update that follows them */
} gh_dry_stage;

/* Fills rows and times from a planned loop. Runs the step twice on whatever its inputs contain, and the update once,
 * which changes parameters and moments. */
gh_status gh_dry_run_measure(gh_error *err, gh_loop *loop, gh_dry_stage *stage);
void gh_dry_run_free(gh_dry_stage *stage);

/* Prints the verdict, the problems of inputs and the details on stdout. */
void gh_dry_run_print(const gh_device *device, const gh_dry_stage stages[2], const gh_strings *problems, bool verbose);

/* gh_budget_json's keys, "fits", "would_help" and, where the stage fits, "products", "update_seconds", "update_flop",
 * "images_per_second" and "hours". NULL after a failure; the caller frees. */
gh_json *gh_dry_run_json(gh_error *err, const gh_dry_stage *stage);

#endif
