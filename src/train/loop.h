/* The training loop, whatever is trained: images in, gradients accumulated over micro-batches, an update, a line of
 * metrics, snapshots and state when they are due. The stages of the method and the pre-training of an autoencoder are
 * such loops. */
#ifndef GH_TRAIN_LOOP_H
#define GH_TRAIN_LOOP_H

#include "data/target_cache.h"
#include "method/objective.h"
#include "train/frozen_choices.h"
#include "train/metrics.h"
#include "train/stage_report.h"
#include "train/state.h"
#include "train/update.h"

typedef struct gh_loop gh_loop;
struct gh_loop {
  const char *label; /* "stage 1" */
  int number;        /* of the stage, in names of files and of random streams */
  const char *run;   /* the run's folder */
  const gh_stage_config *stage;
  int64_t state_keep;
  double state_minutes;
  bool quiet;                  /* no line per update on stdout */
  gh_train_progress *progress; /* may be NULL */
  void *progress_user;
  gh_status (*snapshot)(gh_error *err, gh_loop *loop); /* writes what training made so far; may set `halt` */
  void *user;                                          /* snapshot's own */

  gh_device *device;
  gh_store *store;
  gh_step step; /* its graph, images, step block and loss */
  gh_update update;
  const gh_image_set *set; /* of data.images */
  gh_loader *loader;
  float *images;                 /* (micro_batch, 3, S, S) */
  gh_loader_sample *samples;     /* (micro_batch) what they show */
  const gh_objective *objective; /* of the step; NULL: none, and nothing is logged but the loss */
  gh_target_cache *cache;        /* where the step takes cached targets, else NULL */
  char *targets;                 /* (micro_batch, ...) of them */
  int64_t micro_batch;
  int64_t done; /* updates */
  bool ahead;   /* the first micro-batch of the next update was sent, or ahead_error is why not */
  gh_error ahead_error;
  bool halt;            /* no further update: the state is saved, and the loop ends well */
  bool stop;            /* `progress` asked for a stop */
  double state_written; /* when, by gh_now */
  uint64_t models_hash; /* gh_models_hash; 0: nothing was read */
  gh_json *config_json, *plan_json;
};

void gh_loop_free(gh_loop *loop); /* an empty one is fine; the device stays open */

/* Finds a state to resume from (*state_folder NULL: none) and refuses a folder with a run unless `resume`. */
gh_status gh_loop_find_run(gh_error *err, const char *run, const gh_json *config, bool resume, char **state_folder,
                           gh_state_info *from);
/* The first that is written to a run's folder, when nothing is left that could refuse to start: cuts the metrics back
 * to the state (NULL: a fresh start) and writes config.json. */
gh_status gh_loop_begin_run(gh_error *err, const char *run, const gh_json *config, const gh_state_info *from);
/* Records the update for the recorded step, plans both graphs and makes the staging memory of an update's sends. */
gh_status gh_loop_plan(gh_error *err, gh_loop *loop);
/* Opens the cache of targets that the configuration asks for, below the run where it names no folder, and computes what
 * is missing of it. */
gh_status gh_loop_open_cache(gh_error *err, gh_loop *loop, const gh_models *models);
/* Starts the loader at loop->done. */
gh_status gh_loop_load_images(gh_error *err, gh_loop *loop, const gh_data_config *data, uint64_t seed);
gh_status gh_loop_check_data(gh_error *err, const gh_loop *loop, uint64_t hash);
/* The parts of an update, for callers that look between them. One micro-batch: samples [first, first + micro_batch) of
 * the update, those past its end with weight 0, and the step block; then the caller runs step.graph. Loads come in
 * order. */
gh_status gh_loop_load(gh_error *err, gh_loop *loop, int64_t first);
/* The next update of loop->done, which the caller counts. An update allocates, compiles and waits for nothing on
 * the device but the read of its loss (tests/test_step_trace.c), as long as what its micro-batches are sent fits
 * GH_SENDS_BYTES. Before that read it sends what the update after it begins with, so that the device does not wait for
 * the host from one update to the next; no gh_loop_load between two of these. */
gh_status gh_loop_update(gh_error *err, gh_loop *loop, gh_update_result *result);
gh_status gh_loop_run(gh_error *err, gh_loop *loop);
gh_status gh_loop_report(gh_error *err, const gh_loop *loop, double seconds, gh_stage_report *out);

#endif
