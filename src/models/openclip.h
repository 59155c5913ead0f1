/* open_clip_config.json, which the folders of the open_clip package have in place of a config.json of transformers'. */
#ifndef GH_MODELS_OPENCLIP_H
#define GH_MODELS_OPENCLIP_H

#include "base/json.h"
#include "models/text.h"

#define GH_OPENCLIP_CONFIG  "open_clip_config.json"
#define GH_OPENCLIP_WEIGHTS "open_clip_model.safetensors"

/* Whether that file says what the folder's model is: it is there, and no config.json of transformers' is (timm writes
 * one of its own, which names no model_type). */
gh_status gh_openclip_is(gh_error *err, const char *folder, bool *is);

/* Both towers from the file's root: open_clip's ViT with CLIP's text tower, and timm's SigLIP. What is left out takes
 * the defaults of open_clip's CLIPVisionCfg and CLIPTextCfg; what has another meaning there than in CLIPModel or
 * SiglipModel is GH_ERROR_UNSUPPORTED, and named. */
gh_status gh_openclip_vision(gh_error *err, const gh_json *root, gh_vision_config *out);
gh_status gh_openclip_text(gh_error *err, const gh_json *root, gh_text_config *out);

#endif
