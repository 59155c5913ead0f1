/* The trainer: stage 1, then stage 2, from a configuration to a run's folder (config/run.h). The result of a stage
 * depends only on the configuration, its initial files and the images: a stage that is killed at any moment and resumed
 * gives the same bits. */
#ifndef GH_TRAIN_TRAINER_H
#define GH_TRAIN_TRAINER_H

#include "backend/backend.h"
#include "config/config.h"
#include "dist/comm.h"
#include "models/vision.h"
#include "train/metrics.h"
#include "train/stage_report.h"

typedef struct gh_train_options {
  bool resume;                 /* continue from the newest state; without it a folder that has one is refused */
  bool replan;                 /* choose kernels again instead of using the state's choices */
  bool dry_run;                /* plan and print, then stop */
  bool allow_data_change;      /* continue although the set of images differs from the state's */
  int ranks;                   /* of a dry run: plan for so many processes; 0: for this one alone */
  bool quiet;                  /* nothing on stdout: no line per update, no plan */
  bool verbose;                /* of a dry run: also every matrix product, convolution and attention */
  gh_train_progress *progress; /* may be NULL */
  void *progress_user;
  gh_comm *comm;       /* the processes that train together; NULL: this one alone */
  bool resplit;        /* measure the ranks' speeds again instead of keeping the state's shares */
  double rank_timeout; /* seconds that a rank may keep the others waiting in an update; 0: without limit */
} gh_train_options;

/* GH_ERROR_STOPPED when a signal or `progress` requested it (the state is saved). GH_ERROR_NUMERIC when a loss was not
 * finite (the state before that update is saved; the text names the update). With options->comm, all ranks call
 * it with the same configuration; the caller then makes the last agreement with the status (dist/comm.h). */
gh_status gh_train(gh_error *err, const gh_config *config, const gh_train_options *options, gh_stage_report reports[2]);

/* Chooses the providers of all that the steps of a run's stages compute, without memory for a step; nothing is trained
 * or written. Sizes are those of the configuration's models or, with `encoder` not NULL, that one's and the published
 * ones (`tiny`: small ones) of the other models, without files. */
gh_status gh_train_choose(gh_error *err, const gh_config *config, gh_device *device, const gh_vision_config *encoder,
                          bool tiny);

#endif
