/* State: everything that resuming needs, in RUN/state/stageK-NNNNNNNN/: parts with named tensors, and a manifest that
 * lists their contents and a hash per part, and is sealed itself (base/checksum.h). Parts are written first, then the
 * run's logs are synced, the manifest comes last, all with fsync. A folder with a manifest is therefore complete; one
 * without is left over from an interruption and is removed. */
#ifndef GH_TRAIN_STATE_H
#define GH_TRAIN_STATE_H

#include "config/run.h"
#include "train/update.h"

typedef struct gh_state_info {
  int stage;
  int64_t update;       /* updates done */
  uint64_t data_hash;   /* of the image index */
  uint64_t models_hash; /* gh_models_hash of the initial model files; 0: none */
  int64_t micro_batch;
  /* Owned by the caller when writing, by the info when read (gh_state_info_free). */
  gh_json *config, *plan;
  gh_json *encoder; /* gh_models_settings of the encoder's folder; NULL: none, as in states of earlier versions */
} gh_state_info;

void gh_state_info_free(gh_state_info *info);
/* The info as members of a JSON object, and read from them: those of a manifest in `folder`, whose name is checked. */
gh_status gh_state_info_put(gh_error *err, gh_json *root, const gh_state_info *info);
gh_status gh_state_info_read(gh_error *err, const char *folder, const gh_json *root, gh_state_info *info);

/* Writes parameters, moments, what the step carries and info, then removes all but the newest `keep` states. */
gh_status gh_state_write(gh_error *err, const char *run, const gh_update *update, const gh_state_info *info,
                         int64_t keep);

/* Finds the newest complete state: its folder (caller frees) and its info; *folder is NULL if there is none. Its
 * manifest and every byte of its parts are checked first. An interrupted state is removed. A damaged one is skipped
 * with a warning and renamed to damaged-..., if an older one is intact; else GH_ERROR_FORMAT. GH_ERROR_UNSUPPORTED: a
 * later version wrote the newest. */
gh_status gh_state_find(gh_error *err, const char *run, char **folder, gh_state_info *info);

/* Checks the parts against the manifest and loads them into the same tensors. */
gh_status gh_state_load(gh_error *err, const char *folder, const gh_update *update);

#endif
