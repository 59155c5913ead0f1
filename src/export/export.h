/* A trained encoder as a model folder that other tools open. */
#ifndef GH_EXPORT_EXPORT_H
#define GH_EXPORT_EXPORT_H

#include "io/safetensors.h"

typedef struct gh_export_options {
  const char *clip;    /* the model folder that was trained from */
  const char *adapter; /* PEFT folder to merge, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  gh_st_dtype dtype;   /* a float type for every float tensor; GH_ST_DTYPES: each keeps its type in the model's file */
  bool vision;         /* the vision tower alone: no projection, no text tower, no tokenizer */
} gh_export_options;

typedef struct gh_export_counts {
  int64_t tensors, changed; /* tensors written; of those, merged or replaced */
  int64_t rounded;          /* changed tensors that were rounded to 16 bits */
} gh_export_counts;

/* Writes model.safetensors (W + (alpha / r) B A and trained biases replace those of the adapted layers; everything else
 * is unchanged, under transformers' names) and copies the configuration, preprocessing and tokenizer files. The vision
 * tower alone gets a configuration of its own, for the family's class (CLIPVisionModel, SiglipVisionModel). Of a family
 * without a class in transformers (EVA-CLIP), writes open_clip_model.safetensors under the names of the model's own
 * file, and open_clip_config.json; its vision tower alone is GH_ERROR_UNSUPPORTED. A folder with a model that this
 * function did not write is GH_ERROR_FILE. */
gh_status gh_export_model(gh_error *err, const char *out, const gh_export_options *options, gh_export_counts *counts);

/* Checks and copies an adapter's two files. */
gh_status gh_export_peft(gh_error *err, const char *out, const char *adapter);

/* ---- of a run ---- */

typedef enum gh_export_format {
  GH_EXPORT_HF,     /* the whole model, merged */
  GH_EXPORT_PEFT,   /* the adapter; dtype does not apply */
  GH_EXPORT_VISION, /* the vision tower alone, merged */
  GH_EXPORT_FORMATS
} gh_export_format;

typedef struct gh_export_run {
  const char *run;      /* the run's folder */
  const char *snapshot; /* "stage2-00000050", "best" or "last"; NULL: "last" (gh_run_snapshot) */
  const char *model;    /* the model folder in place of the configuration's; or NULL */
  gh_export_format format;
  gh_st_dtype dtype; /* as in gh_export_options */
} gh_export_run;

typedef struct gh_exported {
  gh_export_counts counts; /* zero for an adapter */
  int stage;
  int64_t update; /* of the snapshot */
  char *adapter;  /* the snapshot's PEFT folder, or NULL; the caller frees */
} gh_exported;

/* Writes the encoder of a run's snapshot into the folder `out`. GH_ERROR_FILE if the run has no such snapshot or
 * trained no encoder, or if GH_EXPORT_PEFT is requested and there is no adapter. */
gh_status gh_export_of_run(gh_error *err, const char *out, const gh_export_run *what, gh_exported *result);

#endif
