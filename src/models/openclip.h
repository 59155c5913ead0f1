/* open_clip_config.json, which folders of the open_clip package have in place of transformers' config.json. */
#ifndef GH_MODELS_OPENCLIP_H
#define GH_MODELS_OPENCLIP_H

#include "base/json.h"
#include "models/text.h"

#define GH_OPENCLIP_CONFIG  "open_clip_config.json"
#define GH_OPENCLIP_WEIGHTS "open_clip_model.safetensors"

/* Whether that file describes the folder's model: it exists, and there is no config.json of transformers (timm writes
 * its own config.json, without a model_type). */
gh_status gh_openclip_is(gh_error *err, const char *folder, bool *is);

/* A key that must have one value (a string, or "true", "false" or "null" for JSON's own), and the value that an absent
 * key has. */
typedef struct gh_openclip_rule {
  const char *key, *value, *absent;
} gh_openclip_rule;

/* A vision tower of the timm package, which open_clip's file gives only by name. */
typedef struct gh_timm_tower {
  const char *name;
  int patch;
  gh_transformer tower;
} gh_timm_tower;

/* How such a file describes a family. Lists end with a null name or key. */
typedef struct gh_openclip_layout {
  const gh_timm_tower *timm;             /* its vision towers; NULL: open_clip's own ViT */
  const gh_openclip_rule *vision, *text; /* of vision_cfg, text_cfg */
  int64_t eos;                           /* gh_text_config's */
  bool reads_eos;                        /* text_cfg.eos_id says otherwise */
  bool projects;                         /* timm's tower ends with a layer of the embedding's width */
} gh_openclip_layout;

/* Read a tower from the file's root. Absent keys have the defaults of open_clip's CLIPVisionCfg and CLIPTextCfg. A
 * setting that transformers' class does not have is GH_ERROR_UNSUPPORTED; the text names it. */
gh_status gh_openclip_vision(gh_error *err, const gh_json *root, gh_vision_config *out);
gh_status gh_openclip_text(gh_error *err, const gh_json *root, gh_text_config *out);

#endif
