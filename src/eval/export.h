/* A trained encoder as a model folder that other tools open. */
#ifndef GH_EVAL_EXPORT_H
#define GH_EVAL_EXPORT_H

#include "base/text.h"

typedef struct gh_export_options {
  const char *clip;    /* the model folder that was trained from */
  const char *adapter; /* PEFT folder to merge, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  bool float32;        /* every float tensor in float32; otherwise each in the dtype of the model's file */
} gh_export_options;

typedef struct gh_export_counts {
  int64_t tensors, changed; /* written; merged or replaced */
  int64_t rounded;          /* changed ones that were rounded to 16 bits, as the model's file has them */
} gh_export_counts;

/* Writes model.safetensors (W + (alpha / r) B A and trained biases in place of the adapted layers'; everything else as
 * it was) and copies the configuration, preprocessing and tokenizer files. A folder whose model is not of this making
 * is GH_ERROR_FILE. */
gh_status gh_export_hf(gh_error *err, const char *out, const gh_export_options *options, gh_export_counts *counts);

/* Copies an adapter's two files, after checking them. */
gh_status gh_export_peft(gh_error *err, const char *out, const char *adapter);

#endif
