/* Flow matching over an autoencoder's latents: the paper's continuous denoiser (Algorithm 1). An encoder's token drives
 * a FLUX-like transformer that predicts the velocity between noise and the picture's latents. */
#ifndef GH_METHOD_FLOW_H
#define GH_METHOD_FLOW_H

#include "method/objective.h"
#include "models/flux_dit.h"
#include "models/flux_vae.h"

#define GH_FLOW_PACK 2 /* latents are packed 2 x 2 into tokens of 4 * channels */

typedef enum gh_timestep_law { GH_TIMESTEP_LOGIT_NORMAL, GH_TIMESTEP_UNIFORM } gh_timestep_law;
/* NOISE_AT_ONE: x_t = (1-t) x1 + t x0, target x0 - x1 (FLUX); DATA_AT_ONE: the paper's Eq. 3, mirrored. */
typedef enum gh_time_convention { GH_TIME_NOISE_AT_ONE, GH_TIME_DATA_AT_ONE } gh_time_convention;

/* Its keys: "autoencoder", "denoiser.*", "timestep.*". */
typedef struct gh_flow_config {
  char *autoencoder; /* .safetensors file, or a folder in diffusers' layout */
  int64_t double_blocks, single_blocks, hidden, heads;
  double mlp_ratio;
  int64_t rope_axes[3]; /* their sum is hidden / heads */
  int64_t context_width, vector_width;
  double guidance;
  struct {
    gh_timestep_law distribution;
    double scale;
    gh_time_convention convention;
  } timestep;
} gh_flow_config;

typedef struct gh_flow_models {
  gh_vae_config vae;
  gh_flux_config flux;
  gh_safetensors *vae_file; /* NULL: random weights */
} gh_flow_models;

extern const gh_objective gh_flow_matching;
extern const gh_drawing gh_flow_drawing; /* flow_sampler.c */

/* The record and the models of a run with this objective. */
static inline const gh_flow_config *gh_flow_config_of(const gh_config *config) { return config->own; }
static inline const gh_flow_models *gh_flow_models_of(const gh_models *models) { return models->own; }

/* Tokens per side of the encoder's images: S / 16. */
static inline int64_t gh_flow_side(const gh_models *models) {
  return models->clip.image / (GH_FLOW_PACK * gh_vae_factor(&gh_flow_models_of(models)->vae));
}

#endif
