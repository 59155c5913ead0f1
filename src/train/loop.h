/* The training loop: images in, gradients accumulated over micro-batches, an update, a line of metrics, snapshots and
 * state when they are due. The two stages of the method and pre-training use it. */
#ifndef GH_TRAIN_LOOP_H
#define GH_TRAIN_LOOP_H

#include "base/usage.h"
#include "data/target_cache.h"
#include "method/objective.h"
#include "train/frozen_choices.h"
#include "train/metrics.h"
#include "train/ranks.h"
#include "train/stage_report.h"
#include "train/state.h"
#include "train/update.h"

typedef struct gh_loop gh_loop;
struct gh_loop {
  const char *label; /* "stage 1" */
  int number;        /* the stage, in names of files and of random streams */
  const char *run;   /* the run's folder */
  const gh_stage_config *stage;
  int64_t state_keep;
  double state_minutes;
  bool quiet;                  /* no line per update on stdout */
  gh_train_progress *progress; /* may be NULL */
  void *progress_user;
  gh_status (*snapshot)(gh_error *err, gh_loop *loop); /* writes the current weights */
  /* Of several ranks, all call it when rank 0 has written a snapshot; may set `halt` and `load_failed`. NULL: nothing.
   */
  gh_status (*evaluate)(gh_error *err, gh_loop *loop);
  /* After an update, before its line of metrics and its state are written: may add numbers to the row and change
   * parameters. NULL: nothing. */
  gh_status (*after)(gh_error *err, gh_loop *loop, const gh_update_result *result, gh_metrics_row *row);
  /* Sends what else the step reads of the first `count` of `samples`. NULL: nothing. */
  gh_status (*send)(gh_error *err, gh_loop *loop, const gh_loader_sample *samples, int64_t count);
  /* Runs the step over an update's samples, which it takes with gh_loop_take. NULL: one replay of step.graph per
   * micro-batch. */
  gh_status (*replays)(gh_error *err, gh_loop *loop);
  void *user; /* for `snapshot`, `evaluate`, `after`, `send` and `replays` */

  gh_device *device;
  gh_store *store;
  gh_step step; /* its graph, images, step block and loss */
  gh_update update;
  const gh_image_set *set; /* of data.images */
  gh_loader *loader;
  float *images;                 /* (micro_batch, 3, S, S) */
  gh_loader_sample *samples;     /* (micro_batch) the samples in `images` */
  const gh_objective *objective; /* of the step; NULL: none, and only the loss is logged */
  gh_target_cache *cache;        /* NULL unless the step takes cached targets */
  char *targets;                 /* (micro_batch, ...) cached targets */
  gh_ranks *ranks;               /* the processes that share every update; NULL: this one alone */
  int64_t micro_batch;
  int64_t done; /* updates */
  bool ahead;   /* the first micro-batch of the next update was sent, or ahead_error says why not */
  gh_error ahead_error;
  bool load_failed;     /* the last micro-batch, or what `evaluate` reads, could not be loaded: the state is sound */
  bool halt;            /* no further update: the state is saved, and the loop ends with GH_OK */
  bool stop;            /* `progress` asked for a stop */
  bool signed_in;       /* a line of metrics says which program, device and host this process is */
  double state_written; /* time of the last state, by gh_now */
  gh_energy energy;     /* open while the loop runs */
  double device_joules; /* the device's counter at the last update, where its library has one; else NaN */
  uint64_t models_hash; /* gh_models_hash; 0: nothing was read */
  uint64_t extra_hash;  /* of data beside the images; 0: none */
  gh_json *config_json, *plan_json;
  gh_json *encoder_json; /* gh_models_settings; NULL: nothing was read */
};

void gh_loop_free(gh_loop *loop); /* an empty one is fine; the device stays open */

/* Whether the run that left a state goes on turning pictures upright: versions that had no such key did so. Warns if
 * the configuration says otherwise. */
bool gh_loop_keeps_turning(const gh_state_info *from, const char *key, bool exif);

/* Finds a state to resume from (*state_folder NULL: none) and refuses a folder with a run unless `resume`. */
gh_status gh_loop_find_run(gh_error *err, const char *run, const gh_json *config, bool resume, char **state_folder,
                           gh_state_info *from);
/* Writes to a run's folder for the first time, after all checks have passed: cuts the metrics back to the state (NULL:
 * a fresh start) and writes config.json. */
gh_status gh_loop_begin_run(gh_error *err, const gh_loop *loop, const gh_state_info *from);
/* Describes the choices of the device's kernels in plan_json. */
gh_status gh_loop_describe_plan(gh_error *err, gh_loop *loop);
/* Records the update for the recorded step, plans both graphs and reserves the staging buffers for an update's
 * sends. */
gh_status gh_loop_plan(gh_error *err, gh_loop *loop);
/* Opens the configured cache of targets (by default below the run) and computes its missing entries. Before it computes
 * any, writes plan.json with the kernels chosen for that: a run that is killed there repeats the choices. */
gh_status gh_loop_open_cache(gh_error *err, gh_loop *loop, const gh_models *models);
/* Chooses the providers of what fills such a cache; nothing is computed. */
gh_status gh_loop_choose_cache(gh_error *err, gh_device *device, const gh_models *models, int64_t micro_batch);
/* Starts the loader at loop->done. */
gh_status gh_loop_load_images(gh_error *err, gh_loop *loop, const gh_data_config *data, uint64_t seed);
/* Whether the data has the hash of a state. */
gh_status gh_loop_check_data(gh_error *err, const gh_loop *loop, uint64_t hash);
/* Compares the encoder's settings with a state's, if that has them. */
gh_status gh_loop_check_encoder(gh_error *err, const gh_loop *loop, const gh_json *before);
/* The parts of an update, for callers that inspect the device between them. Loads one micro-batch, samples [first,
 * first + micro_batch) of this rank's share of the update, and its step block; samples past the end have weight 0. The
 * caller then runs step.graph. Call it in order of `first`. */
gh_status gh_loop_load(gh_error *err, gh_loop *loop, int64_t first);
/* The same within an update, for gh_loop.replays: the first micro-batch may have been sent ahead. Then `images` and
 * `samples` hold it. */
gh_status gh_loop_take(gh_error *err, gh_loop *loop, int64_t first);
/* Runs the update that follows loop->done; the caller increments `done`. An update neither allocates nor compiles, and
 * waits for the device only when it reads its loss (tests/test_step_trace.c), as long as the sends of its micro-batches
 * fit GH_SENDS_BYTES. Before that read it sends the first micro-batch of the following update, so that the device does
 * not wait for the host between updates. Do not call gh_loop_load between two updates. */
gh_status gh_loop_update(gh_error *err, gh_loop *loop, gh_update_result *result);
gh_status gh_loop_run(gh_error *err, gh_loop *loop);
gh_status gh_loop_report(gh_error *err, const gh_loop *loop, double seconds, gh_stage_report *out);

#endif
