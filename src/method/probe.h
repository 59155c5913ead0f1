/* One training step on given tensors, and everything it computes: for checking parity with another implementation. */
#ifndef GH_METHOD_PROBE_H
#define GH_METHOD_PROBE_H

#include "config/config.h"

/* inputs: a safetensors file with `images` (B, 3, S, S) in [0, 1], or `pixel_values` (B, 3, S, S), already normalised;
 * the random numbers and, with `pixel_values`, the targets that the objective asks for:
 *
 *   continuous  `noise` (B, N, 64), `t` (B), and `latent_noise` (B, 16, S/8, S/8) or, with pixels, `latents` (B, N, 64)
 *   discrete    `mask` (B, N), 1 where a code is masked, and, with pixels, `codes` (B, N); codes that are given with
 *               `images` are used, too. Integers of any type.
 *
 * For dropout: `dropout_mask.<module>.lora_A.weight` in the shape of the layer's input (1 keeps). Where
 * condition.local_tokens selects K patch tokens (neither none nor all): `local_index` (B, K), integers of any type,
 * their indices in the image's grid, row by row, in the order in which they join the context.
 *
 * A tensor that the step does not use is named in a warning.
 *
 * Writes `loss` (1), `condition` (B, D), `grad.<parameter>` of every trained parameter, `grad_norm` (1), and
 *
 *   continuous  `latents`, `prediction` (B, N, 64)
 *   discrete    `codes`, `mask` (B, N), and `logits` (masked positions of all samples in order, K) */
gh_status gh_probe(gh_error *err, const gh_config *config, int stage, const char *inputs, const char *out);

#endif
