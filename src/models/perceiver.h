/* The discrete denoiser: it predicts a picture's masked codes from the visible ones and the encoder's token (the
 * paper's Algorithm 2). No public implementation exists. The paper fixes the inputs, the loss, the range of layers and
 * the order of attention; it is silent on the rest, which is chosen here:
 *
 *   width 1024, 16 heads, MLP ratio 4   ViT-L's, which the paper's encoders share: 17 M parameters per layer
 *   pre-norm, LayerNorm, GELU, biases   CLIP's own blocks, without a schedule of time that they would have to modulate
 *   learnt positions                    the grid is fixed per run, and masked positions carry nothing else
 *   codes enter by their vectors        the tokenizer's codebook already places similar codes near each other
 *   keys are visible codes + condition  Algorithm 2's K, V = concat(x_unmask; h(v(x))); queries are all positions, so
 *                                       that masked ones read the condition in every layer. `cross_once` is the literal
 *                                       reading: one cross-attention in front, with the visible codes as queries. */
#ifndef GH_MODELS_PERCEIVER_H
#define GH_MODELS_PERCEIVER_H

#include "models/module.h"

typedef struct gh_perceiver_config {
  int layers, hidden, heads;
  bool cross_once;   /* one cross-attention before the layers; otherwise one in every layer */
  int vector;        /* width of a code's vector: 256 */
  int64_t codes;     /* K: rows of the codebook */
  int64_t positions; /* N: codes per picture */
} gh_perceiver_config;

/* What the keys alone do not say: GH_ERROR_CONFIG where a picture has too few codes to mask some. hidden is a multiple
 * of heads. */
gh_status gh_perceiver_config_check(gh_error *err, const gh_perceiver_config *config);

/* The condition c (B, D) and local tokens (B, L, D), or NULL for none -> (B, 1 + L, hidden). */
gh_tensor *gh_perceiver_condition(gh_module *m, const gh_perceiver_config *config, gh_tensor *c, gh_tensor *local);

/* vectors (B, N, vector) of the codes; mask (B, N) int32, 1 where a code must be predicted: its vector is not read;
 * condition (B, T, hidden); index (B, M) int32: the positions that are predicted, -1 for none -> logits (B, M, K), of
 * the module's storage. */
gh_tensor *gh_perceiver(gh_module *m, const gh_perceiver_config *config, gh_tensor *vectors, gh_tensor *mask,
                        gh_tensor *condition, gh_tensor *index);

#endif
