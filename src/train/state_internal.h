/* Shared by state.c, which writes and loads, and state_find.c, which checks what is on the disk. */
#ifndef GH_TRAIN_STATE_INTERNAL_H
#define GH_TRAIN_STATE_INTERNAL_H

#include "train/state.h"

#define GH_STATE_VERSION  1
#define GH_STATE_MANIFEST "manifest.json"

/* Reads FOLDER/manifest.json and checks its seal, then its version: a damaged number is not taken for a later one. */
gh_status gh_state_read_manifest(gh_error *err, const char *folder, gh_json **root);

/* The path of the part that the manifest names; the caller frees. It lies in the state's folder. */
gh_status gh_state_part(gh_error *err, const char *folder, const gh_json *root, char **path);

#endif
