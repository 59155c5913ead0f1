/* open_clip_config.json, which folders of the open_clip package have in place of transformers' config.json. */
#ifndef GH_MODELS_OPENCLIP_H
#define GH_MODELS_OPENCLIP_H

#include "base/json.h"
#include "models/text.h"

#define GH_OPENCLIP_CONFIG  "open_clip_config.json"
#define GH_OPENCLIP_WEIGHTS "open_clip_model.safetensors"

/* Whether that file describes the folder's model: it is there, and no config.json of transformers' is (timm writes one
 * of its own, which names no model_type). */
gh_status gh_openclip_is(gh_error *err, const char *folder, bool *is);

/* A key that must have one value, as JSON's true and false or as a text, with what counts where it is absent. */
typedef struct gh_openclip_rule {
  const char *key, *value, *absent;
} gh_openclip_rule;

/* A vision tower of the timm package, which open_clip's file gives by its name alone. */
typedef struct gh_timm_tower {
  const char *name;
  int patch;
  gh_transformer tower;
} gh_timm_tower;

/* How a family looks in such a file. Lists end with a null name or key. */
typedef struct gh_openclip_layout {
  const gh_timm_tower *timm;                         /* its vision towers; NULL: open_clip's own ViT */
  const gh_openclip_rule *vision, *text, *tokenizer; /* of vision_cfg, text_cfg, text_cfg.tokenizer_kwargs */
  int64_t eos;                                       /* gh_text_config's */
} gh_openclip_layout;

/* Both towers from the file's root. What is left out takes the defaults of open_clip's CLIPVisionCfg and CLIPTextCfg;
 * what has another meaning there than in transformers' class is GH_ERROR_UNSUPPORTED, and named. */
gh_status gh_openclip_vision(gh_error *err, const gh_json *root, gh_vision_config *out);
gh_status gh_openclip_text(gh_error *err, const gh_json *root, gh_text_config *out);

#endif
