/* The result of a stage, for its caller. */
#ifndef GH_TRAIN_STAGE_REPORT_H
#define GH_TRAIN_STAGE_REPORT_H

#include "train/evaluate.h"

typedef struct gh_stage_report {
  int64_t updates;              /* of the stage, including those before a resume; 0: not run */
  double first_loss, last_loss; /* means over the first and last tenth of its updates, at most 10 each */
  uint64_t skipped;             /* number of broken images skipped */
  double seconds;
  bool evaluated; /* stage 2 with "evaluate" configured */
  gh_best best;   /* of its snapshots */
  gh_json *plan;  /* of a dry run: gh_dry_run_json's, also where the stage does not fit; the caller frees */
} gh_stage_report;

#endif
