/* CLIP's vision tower with its projection (transformers' CLIPVisionModelWithProjection). */
#ifndef GH_MODELS_CLIP_VISION_H
#define GH_MODELS_CLIP_VISION_H

#include "models/module.h"

typedef struct gh_clip_config {
  int hidden, layers, heads, mlp; /* widths; head size = hidden / heads */
  int image, patch;               /* pixels a side */
  int projection;                 /* D, width of the embedding */
  double eps;
  gh_activation_kind activation;
} gh_clip_config;

/* Reads DIR/config.json; what it leaves out takes transformers' class defaults. GH_ERROR_UNSUPPORTED names another
 * architecture or activation. */
gh_status gh_clip_config_read(gh_error *err, const char *folder, gh_clip_config *config);

const char *gh_activation_name(gh_activation_kind kind); /* as config.json writes it; NULL: CLIP has no such */

/* Tokens of the tower: patches and the class token. */
int64_t gh_clip_tokens(const gh_clip_config *config);

/* pixel_values (B, 3, S, S), normalised -> the class token's embedding (B, D), as projected. local (NULL: not wanted)
 * gets the patch tokens after the same norm and projection, (B, N, D): the paper's [LOCAL] ablation. */
gh_tensor *gh_clip_vision(gh_module *m, const gh_clip_config *config, gh_tensor *pixel_values, gh_tensor **local);

#endif
