/* The models of a run: sizes, and the files their weights come from. The encoder is every objective's; what else is
 * opened is the objective's own. */
#ifndef GH_METHOD_MODELS_H
#define GH_METHOD_MODELS_H

#include "config/config.h"
#include "io/safetensors.h"
#include "models/vision.h"

typedef struct gh_objective gh_objective; /* method/objective.h */

typedef struct gh_models {
  const gh_config *config; /* borrowed: outlives the models */
  const gh_objective *objective;
  void *own; /* the objective's sizes and files: objective->model_bytes */
  gh_vision_config clip;
  double image_mean[3], image_std[3]; /* the encoder's normalisation */
  gh_safetensors *clip_file;          /* NULL: random weights, as all of these */
  gh_safetensors *denoiser_file;      /* what the objective trains in stage 1: denoiser and projectors */
  gh_safetensors *adapter_file;       /* a PEFT adapter to start from */
} gh_models;

/* Reads sizes and opens weight files. `denoiser` and `adapter` NULL: what the configuration names, else fresh;
 * otherwise the paths to start from (an adapter is a PEFT folder). */
gh_status gh_models_open(gh_error *err, gh_models *models, const gh_config *config, const char *denoiser,
                         const char *adapter);
/* The same without files, for measuring: the encoder's sizes are given, the objective's are the published ones or, for
 * `tiny`, small ones; what the configuration says of the denoiser holds. */
gh_status gh_models_draft(gh_error *err, gh_models *models, const gh_config *config, const gh_vision_config *encoder,
                          bool tiny);
void gh_models_close(gh_models *models); /* an empty or half-built one is fine */

/* Identifies the opened files by their tensors' names, shapes and first bytes: replaced weights show, and reading all
 * of them would take minutes. */
uint64_t gh_models_hash(const gh_models *models);

#endif
