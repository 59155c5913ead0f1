/* The autoencoder of a folder or file in diffusers' layout (AutoencoderKL), under FLUX's names. */
#ifndef GH_MODELS_DIFFUSERS_VAE_H
#define GH_MODELS_DIFFUSERS_VAE_H

#include "models/flux_vae.h"

/* The weights of a folder: of its vae/ if it is a whole pipeline; diffusion_pytorch_model.safetensors if it is there.
 * Otherwise the path as given. The caller frees *out. */
gh_status gh_diffusers_find(gh_error *err, char **out, const char *path);

/* Whether the file has diffusers' names ("encoder.down_blocks.0.resnets.0.conv1.weight"). */
bool gh_diffusers_is(const gh_safetensors *file);

/* Presents the file's tensors under FLUX's names, and reads the latents' shift and scale from the config.json beside
 * it. `path` is the file. GH_ERROR_UNSUPPORTED: an autoencoder that computes something else, such as FLUX.2's or Stable
 * Diffusion's; GH_ERROR_FILE: no config.json, without which the scale of latents is unknown. */
gh_status gh_diffusers_translate(gh_error *err, gh_safetensors *file, const char *path, double *shift, double *scale);

#endif
