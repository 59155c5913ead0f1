/* The models of a run: sizes, and the files their weights come from. Every objective uses the encoder; the objective
 * owns everything else that is opened. */
#ifndef GH_METHOD_MODELS_H
#define GH_METHOD_MODELS_H

#include "base/json.h"
#include "config/config.h"
#include "io/safetensors.h"
#include "models/adapter.h"
#include "models/vision.h"

typedef struct gh_objective gh_objective; /* method/objective.h */

typedef struct gh_models {
  const gh_config *config; /* borrowed: outlives the models */
  const gh_objective *objective;
  void *own; /* the objective's sizes and files: objective->model_bytes */
  gh_vision_config clip;
  double image_mean[3], image_std[3]; /* the encoder's normalisation */
  gh_safetensors *clip_file;          /* NULL: random weights, as for all of these files */
  gh_safetensors *denoiser_file;      /* what the objective trains in stage 1: denoiser and projectors */
  gh_adapter adapter;                 /* to start from; without a file: none */
} gh_models;

/* Reads sizes and opens weight files. `denoiser` and `adapter` are the paths to start from (an adapter is a PEFT
 * folder); NULL: what the configuration names, else fresh weights. */
gh_status gh_models_open(gh_error *err, gh_models *models, const gh_config *config, const char *denoiser,
                         const char *adapter);
/* The same without files, for measuring. The caller gives the encoder's sizes. The objective's sizes are the published
 * ones or, for `tiny`, small ones. The denoiser's sizes come from the configuration. */
gh_status gh_models_draft(gh_error *err, gh_models *models, const gh_config *config, const gh_vision_config *encoder,
                          bool tiny);
void gh_models_close(gh_models *models); /* an empty or half-built one is fine */

/* Identifies the opened files by their tensors' names, shapes and first bytes. That detects replaced weights; reading
 * all bytes would take minutes. */
uint64_t gh_models_hash(const gh_models *models);

/* The same by file, for comparing: "the content of the encoder's file": "HASH", ... */
gh_status gh_models_identify(gh_error *err, const gh_models *models, gh_json *into);

/* Identifies the settings beside the encoder's weights: a hash per file (config.json, preprocessor_config.json, ...)
 * that its folder has, by name. *out is the caller's. */
gh_status gh_models_settings(gh_error *err, const gh_models *models, gh_json **out);

#endif
