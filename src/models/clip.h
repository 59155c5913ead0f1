/* What CLIP (clip.c) shares with the families that differ from it only in the text's tokens. */
#ifndef GH_MODELS_CLIP_H
#define GH_MODELS_CLIP_H

#include "models/family.h"

/* Functions of gh_family. */
gh_tensor *gh_clip_vision_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local);
gh_tensor *gh_clip_text_tower(gh_module *m, const gh_text_config *c, gh_tensor *ids, gh_tensor *pooled);
void gh_clip_tensors(gh_walk *w, const gh_vision_config *v, const gh_text_config *t);
gh_status gh_clip_read_vision(gh_error *err, const gh_json *tower, const gh_json *owner, gh_vision_config *c);
gh_status gh_clip_read_text(gh_error *err, const gh_json *tower, const gh_json *owner, gh_text_config *c);
gh_status gh_clip_put_model(gh_error *err, gh_json *root, const gh_vision_config *c);
gh_status gh_clip_put_vision(gh_error *err, gh_json *tower, const gh_vision_config *c);

/* The position of the first end-of-text token; without one 0. */
int32_t gh_clip_first_end(const gh_text_config *c, const int32_t *ids, int64_t n);
/* The same; with the old id, the position of the first largest id. */
#define GH_CLIP_OLD_EOS 2 /* eos_token_id in OpenAI's config.json, which differs from its tokenizer's */
int32_t gh_clip_text_pooled(const gh_text_config *c, const int32_t *ids, int64_t n);

/* OpenAI's and open_clip's files; CLIP's image processors. */
extern const gh_openclip_rule gh_clip_openclip_vision[], gh_clip_openclip_text[];
extern const gh_renaming gh_clip_renamings[];
extern const char *const gh_clip_processors[];
#define GH_CLIP_WEIGHTS                                                                                                \
  {                                                                                                                    \
    .marker = "visual.conv1.weight", .layers = "visual.transformer.resblocks.", .layer = gh_openclip_layer,            \
    .renamings = gh_clip_renamings                                                                                     \
  }

/* Sizes of a row: eps, the activation and what is masked are CLIP's. */
#define GH_CLIP_TOWER(width, depth, groups, wide, act, masked)                                                         \
  { .hidden = width, .layers = depth, .heads = groups, .mlp = wide, .eps = 1e-5, .activation = act, .causal = masked }

#endif
