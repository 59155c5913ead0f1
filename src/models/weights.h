/* The weights of an encoder under the names of transformers' CLIPModel and SiglipModel, whatever names the file has. */
#ifndef GH_MODELS_WEIGHTS_H
#define GH_MODELS_WEIGHTS_H

#include "io/safetensors.h"

/* Opens a model folder or file as gh_safetensors_open does. One with OpenAI's or OpenCLIP's names
 * ("visual.transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks...", "visual.proj"; SigLIP's
 * "visual.trunk.blocks.0.attn.qkv.weight") is seen under transformers': packed projections cut in three, the final ones
 * transposed. Of a folder with an open_clip_config.json, open_clip_model.safetensors. */
gh_status gh_weights_open(gh_error *err, gh_safetensors **out, const char *path);

/* GH_ERROR_FILE where the folder's `weights` ("model.safetensors") has other metadata "made_by" than `maker`, or where
 * there is none beside its `config` ("config.json"): somebody's model, in shards too, or a run must not be lost to what
 * is about to be written. */
gh_status gh_weights_refuse_others(gh_error *err, const char *folder, const char *weights, const char *config,
                                   const char *maker);

#endif
