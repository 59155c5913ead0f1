/* A run's folder:
 *
 *   config.json                          the whole configuration, as resolved
 *   plan.json                            the choices of tuning, frozen
 *   info.json                            the device and the plan of each stage; for readers, not needed to resume
 *   metrics.jsonl, train.log             one line per update
 *   tensorboard/                         the same as TensorBoard events
 *   evaluations.jsonl, best.json         stage 2's scores, and its best snapshot (train/evaluate.h)
 *   state/stage1-00000100/               everything that resuming needs: parts, then manifest.json
 *   snapshots/stage1-00005000/           denoiser.safetensors: denoiser and projectors
 *   snapshots/stage2-00000050/           adapter_model.safetensors and adapter_config.json (a PEFT
 *                                        folder), or, for direct tuning, encoder.safetensors; also
 *                                        denoiser.safetensors if the denoiser trains in stage 2
 *   snapshots/.../checksums.json         of the snapshot's files (base/checksum.h), compared before they are used */
#ifndef GH_CONFIG_RUN_H
#define GH_CONFIG_RUN_H

#include "base/file.h"
#include "config/config.h"

#define GH_RUN_EVENTS   "tensorboard/events.out.tfevents.genhance"
#define GH_RUN_BUILDING "snapshots/.building" /* an unfinished snapshot; no listing shows it */

typedef struct gh_snapshot {
  int stage;
  int64_t update;
  char *denoiser; /* file; a stage-2 snapshot without one names the newest of stage 1; NULL: none exists */
  char *adapter;  /* PEFT folder, or NULL */
  char *encoder;  /* safetensors with the tensors that direct tuning trained, or NULL */
} gh_snapshot;

/* Finds the snapshot of that name, "stage2-00000050"; "best": the one that best.json names; NULL or "last": the newest
 * of the last stage that has one. GH_ERROR_FILE if there is none. */
gh_status gh_run_snapshot(gh_error *err, const char *run, const char *name, gh_snapshot *out);
/* What a user means who names none: "best" where the run has best.json, else "last". */
const char *gh_run_default_snapshot(const char *run);
void gh_snapshot_free(gh_snapshot *snapshot);

/* denoiser.safetensors of stage 1's snapshot after that update (caller frees); GH_ERROR_FILE if there is none. */
gh_status gh_run_stage1_denoiser(gh_error *err, const char *run, int64_t update, char **path);

/* Puts a member into RUN/info.json; takes value, on failure too. A damaged file is written anew: nothing depends on it.
 */
gh_status gh_run_note(gh_error *err, const char *run, const char *key, gh_json *value);

/* GH_ERROR_FORMAT if something other than a regular file is in the place of one of the run's files: reading or writing
 * a pipe would wait. */
gh_status gh_run_check_files(gh_error *err, const char *run);

/* Locks the folder against a second process, and makes the folder if it is absent. */
typedef struct gh_run_hold {
  gh_file_lock *lock;
  char *folder, *file;
  bool made_folder, made_file;
} gh_run_hold;
gh_status gh_run_lock(gh_error *err, const char *run, gh_run_hold *out);
/* Releases the lock. If the run never began, also removes what gh_run_lock made. `hold` may be empty. */
void gh_run_unlock(gh_run_hold *hold, bool began);

/* Reads RUN/config.json; GH_ERROR_FILE if the folder is not a run's. */
gh_status gh_run_config_json(gh_error *err, const char *run, gh_json **out);
/* Relative paths of models and images are taken from the folder where the run was started, if they exist there: the one
 * that has RUN at its "output". Else they stay relative to the current folder. */
gh_status gh_run_config(gh_error *err, const char *run, gh_config *out);

/* Models that a user names in place of the configuration's; NULL: none. */
typedef struct gh_run_names {
  const char *model, *autoencoder;
} gh_run_names;
gh_status gh_run_config_named(gh_error *err, const char *run, const gh_run_names *names, gh_config *out);
/* GH_ERROR_FILE names the first model file that is not there, and the option that names another. Only the encoder, or
 * `all` models. */
gh_status gh_run_check_models(gh_error *err, const char *run, const gh_config *config, bool all);
/* For run.c: applies both to a configuration's document. */
gh_status gh_run_place_paths(gh_error *err, const char *run, const gh_run_names *names, gh_json *document);

/* "stage1-00000100" -> 1, 100; false for any other name. */
bool gh_run_parse_name(const char *name, int *stage, int64_t *update);

/* Folders directly below `folder` whose names parse, oldest first (stage, then update). */
gh_status gh_run_list(gh_error *err, const char *folder, gh_strings *names);

#endif
