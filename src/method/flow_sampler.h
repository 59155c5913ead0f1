/* Images from conditions: Euler steps of the denoiser's flow from noise, then the autoencoder's decoder (the paper's
 * Fig. 3 and FLUX's sampler). */
#ifndef GH_METHOD_FLOW_SAMPLER_H
#define GH_METHOD_FLOW_SAMPLER_H

#include "method/flow.h"

#define GH_SAMPLER_STEPS 20

typedef struct gh_sampler_spec {
  gh_device *device;
  gh_flux_config flux;
  gh_vae_config vae;
  const gh_safetensors *denoiser;    /* with the projectors */
  const gh_safetensors *autoencoder; /* both are read by open only */
  int64_t batch, width, tokens;      /* B; D of the condition; N = (S / 16)^2 */
  int steps;                         /* Euler steps: GH_SAMPLER_STEPS */
  bool noise_at_one;                 /* the time convention the denoiser was trained in */
  gh_dtype storage;                  /* narrow: mixed precision in denoiser and projectors */
} gh_sampler_spec;

typedef struct gh_sampler {
  gh_sampler_spec spec;
  gh_store *store;
  gh_graph *denoise, *decode;
  gh_tensor *condition, *x, *t, *prediction; /* (B, D), (B, N, C), (B), (B, N, C) */
  gh_tensor *z, *image;                      /* (B, N, C) unscaled, (B, 3, S, S) */
} gh_sampler;

/* Plans both graphs. Free with gh_sampler_close, also after failure. */
gh_status gh_sampler_open(gh_error *err, gh_sampler *out, const gh_sampler_spec *spec);
void gh_sampler_close(gh_sampler *s); /* an empty one is fine */

/* FLUX's time-shifted schedule: steps + 1 levels of noise from 1 to 0, t -> e^mu / (e^mu + 1/t - 1) with mu linear in N
 * through (256, 0.5) and (4096, 1.15). */
void gh_sampler_schedule(double *levels, int steps, int64_t tokens);

/* condition (B, D), noise (B, N, C) -> latents (B, N, C), shifted, scaled and packed as the denoiser sees them (NULL:
 * not wanted), and images (B, 3, S, S), about [-1, 1], not clamped. progress is called after each step unless it is
 * NULL. */
gh_status gh_sampler_run(gh_error *err, gh_sampler *s, float *latents, float *images, const float *condition,
                         const float *noise, void (*progress)(void *user, int step), void *user);

#endif
