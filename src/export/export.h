/* A trained encoder as a model folder that other tools open. */
#ifndef GH_EXPORT_EXPORT_H
#define GH_EXPORT_EXPORT_H

#include "io/safetensors.h"

typedef struct gh_export_options {
  const char *clip;    /* the model folder that was trained from */
  const char *adapter; /* PEFT folder to merge, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  gh_st_dtype dtype;   /* of every float tensor, a float type; GH_ST_DTYPES: each in that of the model's file */
  bool vision;         /* the vision tower alone: no projection, no text tower, no tokenizer */
} gh_export_options;

typedef struct gh_export_counts {
  int64_t tensors, changed; /* written; merged or replaced */
  int64_t rounded;          /* changed ones that were rounded to 16 bits */
} gh_export_counts;

/* Writes model.safetensors (W + (alpha / r) B A and trained biases in place of the adapted layers'; everything else as
 * it was, under transformers' names) and copies the configuration, preprocessing and tokenizer files; of the vision
 * tower alone, a configuration of its own (CLIPVisionModel, SiglipVisionModel). A folder whose model is not of this
 * making is GH_ERROR_FILE. */
gh_status gh_export_model(gh_error *err, const char *out, const gh_export_options *options, gh_export_counts *counts);

/* Copies an adapter's two files, after checking them. */
gh_status gh_export_peft(gh_error *err, const char *out, const char *adapter);

#endif
