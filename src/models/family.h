/* The families of encoders: one row per family, one file per row (clip.c, siglip.c, ...). A row says how the family's
 * files are recognised, read and written, and builds its towers. Code outside those files never asks which family it
 * has: it asks the row for the property that it needs. A new family is one file and one line in family.c.
 *
 * A row does not say which tokenizer is used: the folder's files do (io/tokenizer.h). */
#ifndef GH_MODELS_FAMILY_H
#define GH_MODELS_FAMILY_H

#include "models/archs.h"
#include "models/openclip.h"
#include "models/walk.h"
#include "models/weights.h"

struct gh_family {
  const char *name;  /* model_type of a config.json that describes both towers; NULL: transformers has no such class */
  const char *title; /* in messages */
  const gh_arch *archs; /* its architectures, smallest first; ends with a null name */

  /* ---- transformers' config.json ---- */
  const char *vision_type, *text_type;    /* model_type of one tower */
  const char *model_class, *vision_class; /* "architectures": of both towers, of the vision tower alone */
  const char *refused, *refusal; /* a model_type of the same name that it does not support, and why; NULL: none */
  /* Keys, ends with NULL. A file without a model_type belongs to the family if it has one of them. NULL: never. */
  const char *const *implied_by;
  /* Older keys of the towers' objects, which replace vision_config and text_config. NULL: none. */
  const char *older_vision, *older_text;
  gh_vision_config vision; /* the defaults of transformers' classes */
  gh_text_config text;
  /* Reads the keys of a tower that other families do not have. `owner` holds projection_dim: the root where the file
   * describes both towers, else the tower. */
  gh_status (*read_vision)(gh_error *err, const gh_json *tower, const gh_json *owner, gh_vision_config *config);
  gh_status (*read_text)(gh_error *err, const gh_json *tower, const gh_json *owner, gh_text_config *config);
  /* Write the keys that other families do not have. NULL: none. */
  gh_status (*put_model)(gh_error *err, gh_json *root, const gh_vision_config *config);
  gh_status (*put_vision)(gh_error *err, gh_json *tower, const gh_vision_config *config);
  gh_status (*put_text)(gh_error *err, gh_json *tower, const gh_text_config *config);

  /* ---- other layouts ---- */
  gh_openclip_layout openclip; /* open_clip_config.json */
  gh_weight_names weights;     /* tensor names in the weight files of OpenAI, open_clip and timm */
  gh_processor processor;      /* preprocessor_config.json */

  /* ---- the towers ---- */
  int class_tokens; /* in front of the patch tokens */
  gh_tensor *(*vision_tower)(gh_module *m, const gh_vision_config *config, gh_tensor *pixel_values, gh_tensor **local);
  gh_tensor *(*text_tower)(gh_module *m, const gh_text_config *config, gh_tensor *ids, gh_tensor *pooled);
  int32_t (*text_pooled)(const gh_text_config *config, const int32_t *ids, int64_t n);     /* gh_text_pooled */
  void (*tensors)(gh_walk *w, const gh_vision_config *vision, const gh_text_config *text); /* gh_arch_tensors */
  /* Layers, ends with NULL, that ignore any adapter for their weight: LoRA has no effect there, only the bias trains.
   * NULL: none. */
  const char *const *past_adapter;
};

extern const gh_family gh_clip, gh_siglip, gh_metaclip2, gh_eva;

/* For read_vision and read_text: a size in 1..2^20, `value` where the key is absent; whether "architectures" begins
 * with the class. */
gh_status gh_config_read_size(gh_error *err, const gh_json *from, const char *key, int64_t value, int *out);
bool gh_config_is_of(const gh_json *root, const char *class);

/* The rows, ends with NULL. A test may replace the table by a longer one, of at most GH_MOST_FAMILIES rows. */
#define GH_MOST_FAMILIES 16
extern const gh_family *const *gh_families;

/* Joins the families' names or titles as prose, "clip and siglip"; `pick` returns NULL to leave one out. */
gh_name gh_family_list(const char *(*pick)(const gh_family *family));

bool gh_family_past_adapter(const gh_family *family, const char *layer);

#endif
