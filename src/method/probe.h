/* One training step on given tensors, and everything it computes: for checking parity with another implementation. */
#ifndef GH_METHOD_PROBE_H
#define GH_METHOD_PROBE_H

#include "config/config.h"

/* inputs: a safetensors file with `images` (B, 3, S, S) in [0, 1] and `latent_noise` (B, 16, S/8, S/8), or
 * `pixel_values` (B, 3, S, S) and `latents` (B, N, 64); `noise` (B, N, 64), `t` (B); and, for dropout,
 * `dropout_mask.<module>.lora_A.weight` in the shape of the layer's input (1 keeps). Where condition.local_tokens
 * selects K patch tokens (neither none nor all), `local_index` (B, K), integers of any type, holds their indices in the
 * image's grid, row by row, in the order in which they join the context. Writes `loss` (1), `condition` (B, D),
 * `latents`, `prediction` (B, N, 64), `grad.<parameter>` of every trained parameter and `grad_norm` (1). */
gh_status gh_probe(gh_error *err, const gh_config *config, int stage, const char *inputs, const char *out);

#endif
