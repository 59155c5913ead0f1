/* The lightweight continuous denoiser, a small FLUX (double-stream and single-stream blocks), and the two projectors
 * that pass the encoder's global token to it (the paper's §4.2; names of FLUX's checkpoint). */
#ifndef GH_MODELS_FLUX_DIT_H
#define GH_MODELS_FLUX_DIT_H

#include "models/module.h"

typedef struct gh_flux_config {
  int double_blocks, single_blocks;
  int hidden, heads; /* head size = hidden / heads = sum of rope_axes */
  double mlp_ratio;
  int rope_axes[3]; /* of the ids (0, row, column) */
  int channels;     /* of a packed latent token: 64 */
  int context_width, vector_width;
  double guidance;
} gh_flux_config;

/* GH_ERROR_CONFIG if sizes do not fit together. */
gh_status gh_flux_config_check(gh_error *err, const gh_flux_config *config);

/* project_clip: c (B, D) -> (B, vector_width); project_t5: c and, unless NULL, local (B, N, D) -> (B, 1 + N context
 * tokens, context_width). LayerNorm(D) -> Linear -> GELU(erf) -> Linear. */
void gh_projectors(gh_module *m, const gh_flux_config *config, gh_tensor *c, gh_tensor *local, gh_tensor **vector,
                   gh_tensor **context);

/* x_t (B, N, channels) with N = side * side, t (B), vector (B, vector_width), context (B, T, context_width)
 * -> the predicted velocity (B, N, channels). */
gh_tensor *gh_flux_denoiser(gh_module *m, const gh_flux_config *config, gh_tensor *x_t, gh_tensor *t, gh_tensor *vector,
                            gh_tensor *context);

#endif
