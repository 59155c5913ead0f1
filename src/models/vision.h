/* The vision towers that are trained: CLIP's with its projection (transformers' CLIPVisionModelWithProjection) and
 * SigLIP's with its attention-pooling head (SiglipVisionModel). */
#ifndef GH_MODELS_VISION_H
#define GH_MODELS_VISION_H

#include "io/preprocess.h"
#include "models/transformer.h"

typedef enum gh_family { GH_CLIP, GH_SIGLIP } gh_family;

typedef struct gh_vision_config {
  gh_family family;
  gh_transformer tower;
  int image, patch; /* pixels a side */
  int projection;   /* D, width of the embedding; SigLIP's is the tower's own */
} gh_vision_config;

/* Reads DIR/config.json, or open_clip_config.json in its place (models/openclip.h); what it leaves out takes the
 * defaults of transformers' classes. GH_ERROR_UNSUPPORTED names another architecture or activation. */
gh_status gh_vision_config_read(gh_error *err, const char *folder, gh_vision_config *config);

/* The folder's preprocessing, with the family's class for what it leaves out. */
gh_status gh_vision_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder,
                                    const gh_vision_config *config);

int64_t gh_vision_patches(const gh_vision_config *config); /* (image / patch)^2; pixels beyond whole patches are cut */
int64_t gh_vision_tokens(const gh_vision_config *config);  /* patches, and CLIP's class token */

/* pixel_values (B, 3, S, S), normalised -> the global token (B, D): CLIP's class token after norm and projection,
 * SigLIP's pooled token. local (NULL: not wanted) gets the patch tokens after the same norm and, for CLIP, projection,
 * (B, patches, D): the paper's [LOCAL] ablation. */
gh_tensor *gh_vision_tower(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, gh_tensor **local);

/* A layer whose weight is read past any adapter on it (SigLIP's pooling attention, as torch.nn.MultiheadAttention
 * computes): LoRA there does nothing, its bias counts. */
bool gh_vision_past_adapter(const char *layer);

/* The families' own, which gh_vision_tower chooses from. */
gh_tensor *gh_clip_vision(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, gh_tensor **local);
gh_tensor *gh_siglip_vision(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, gh_tensor **local);

/* The patch convolution as a linear layer on patches: (B, patches, hidden). */
gh_tensor *gh_vision_patch_embedding(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, bool bias);

#endif
