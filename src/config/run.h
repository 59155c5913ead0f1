/* A run's folder:
 *
 *   config.json                          the whole configuration, as resolved
 *   plan.json                            what tuning chose, frozen
 *   info.json                            the device, and what each stage takes on it: for reading, not for resuming
 *   metrics.jsonl, train.log             a line an update
 *   tensorboard/                         the same as TensorBoard's events
 *   evaluations.jsonl, best.json         stage 2's scores, and its best snapshot (train/evaluate.h)
 *   state/stage1-00000100/               all that resuming needs: parts, then manifest.json
 *   snapshots/stage1-00005000/           denoiser.safetensors: denoiser and projectors
 *   snapshots/stage2-00000050/           adapter_model.safetensors and adapter_config.json (a PEFT folder), or, for
 * direct tuning, encoder.safetensors; denoiser.safetensors where that trains too */
#ifndef GH_CONFIG_RUN_H
#define GH_CONFIG_RUN_H

#include "base/file.h"
#include "config/config.h"

typedef struct gh_snapshot {
  int stage;
  int64_t update;
  char *denoiser; /* file; a stage-2 snapshot without one of its own names stage 1's newest; NULL: none exists */
  char *adapter;  /* PEFT folder, or NULL */
  char *encoder;  /* safetensors with the tensors that direct tuning trained, or NULL */
} gh_snapshot;

/* The snapshot of that name, "stage2-00000050"; NULL: the newest of the last stage that has one. GH_ERROR_FILE if there
 * is none. */
gh_status gh_run_snapshot(gh_error *err, const char *run, const char *name, gh_snapshot *out);
void gh_snapshot_free(gh_snapshot *snapshot);

/* denoiser.safetensors of stage 1's snapshot after that update (caller frees); GH_ERROR_FILE if there is none. */
gh_status gh_run_stage1_denoiser(gh_error *err, const char *run, int64_t update, char **path);

/* Puts a member into RUN/info.json; takes value, on failure too. */
gh_status gh_run_note(gh_error *err, const char *run, const char *key, gh_json *value);

/* Keeps a second process out of the folder, which is made where it is absent. */
typedef struct gh_run_hold {
  gh_file_lock *lock;
  char *folder, *file;
  bool made_folder, made_file;
} gh_run_hold;
gh_status gh_run_lock(gh_error *err, const char *run, gh_run_hold *out);
/* Lets go of it; of a run that never began, what the lock made goes too. An empty one is fine. */
void gh_run_unlock(gh_run_hold *hold, bool began);

/* RUN/config.json; a folder of something else is GH_ERROR_FILE. */
gh_status gh_run_config_json(gh_error *err, const char *run, gh_json **out);
gh_status gh_run_config(gh_error *err, const char *run, gh_config *out);

/* "stage1-00000100" -> 1, 100; false for any other name. */
bool gh_run_parse_name(const char *name, int *stage, int64_t *update);

/* Folders directly below `folder` whose names parse, oldest first (stage, then update). */
gh_status gh_run_list(gh_error *err, const char *folder, gh_strings *names);

#endif
