/* The trainer: stage 1, then stage 2, from a configuration to a run's folder (config/run.h). A stage is a function of
 * the configuration, the files it starts from and the images; killed at any moment and resumed, it ends in the same
 * bits. */
#ifndef GH_TRAIN_TRAINER_H
#define GH_TRAIN_TRAINER_H

#include "config/config.h"
#include "train/metrics.h"
#include "train/stage_report.h"

typedef struct gh_train_options {
  bool resume;                 /* continue from the newest state; without it a folder that has one is refused */
  bool replan;                 /* choose kernels anew instead of the state's */
  bool dry_run;                /* plan and print, then stop */
  bool allow_data_change;      /* continue although the set of images differs from the state's */
  bool quiet;                  /* nothing on stdout: no line per update, no plan */
  gh_train_progress *progress; /* may be NULL */
  void *progress_user;
} gh_train_options;

/* GH_ERROR_STOPPED when a signal or `progress` asked for it (the state is saved), GH_ERROR_NUMERIC when a loss was not
 * finite (the state from before is saved; the text names the step). */
gh_status gh_train(gh_error *err, const gh_config *config, const gh_train_options *options, gh_stage_report reports[2]);

#endif
