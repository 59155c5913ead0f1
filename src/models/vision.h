/* The vision tower, which is trained, of any family (models/family.h). */
#ifndef GH_MODELS_VISION_H
#define GH_MODELS_VISION_H

#include "io/preprocess.h"
#include "models/transformer.h"

typedef struct gh_family gh_family; /* models/family.h */

typedef struct gh_vision_config {
  const gh_family *family;
  gh_transformer tower;
  int image, patch; /* pixels per side */
  int projection;   /* D, width of the embedding; the tower's own width where there is no projection */
  bool unprojected; /* the family has one, but this model has not */
} gh_vision_config;

/* Reads DIR/config.json, or open_clip_config.json in its place (models/openclip.h); absent keys have the defaults of
 * transformers' classes. GH_ERROR_UNSUPPORTED names an architecture or activation that is not supported. */
gh_status gh_vision_config_read(gh_error *err, const char *folder, gh_vision_config *config);

/* Reads the folder's preprocessing, with the defaults of the family's class; gives the preprocessing of that class
 * itself; writes the folder's preprocessor_config.json as gh_preprocess_write does. */
gh_status gh_vision_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder,
                                    const gh_vision_config *config);
void gh_vision_preprocess_defaults(gh_preprocess *out, const gh_vision_config *config);
gh_status gh_vision_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder,
                                     const gh_vision_config *config);

int64_t gh_vision_patches(const gh_vision_config *config); /* (image / patch)^2; pixels beyond whole patches are cut */
int64_t gh_vision_tokens(const gh_vision_config *config);  /* patches, and the family's class tokens */

/* pixel_values (B, 3, S, S), normalised -> the global token (B, D): the class token after norm and projection, or the
 * pooled token, depending on the family. local (NULL: not wanted) gets the patch tokens (B, patches, D) after the same
 * norm and, where there is one, projection: the paper's [LOCAL] ablation. */
gh_tensor *gh_vision_tower(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, gh_tensor **local);

/* The patch convolution as a linear layer on patches: (B, patches, hidden). */
gh_tensor *gh_vision_patch_embedding(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, bool bias);

#endif
