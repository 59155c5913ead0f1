/* The weights of an encoder under transformers' names, whatever names the file has. */
#ifndef GH_MODELS_WEIGHTS_H
#define GH_MODELS_WEIGHTS_H

#include "io/safetensors.h"

/* What becomes of a tensor besides its name. */
typedef enum gh_reform {
  GH_AS_IT_IS,
  GH_TRANSPOSED,    /* (R, C) -> (C, R) */
  GH_SQUEEZED,      /* (1, N, C) -> (N, C) */
  GH_VECTOR_OF_ONE, /* () -> (1) */
  GH_JOINED,        /* the rows of another tensor follow */
  GH_LEFT_OUT
} gh_reform;

/* Another layout's name and ours. A name that ends with '.' is a prefix, so "ln_pre." serves weight and bias. */
typedef struct gh_renaming {
  const char *from, *to;
  gh_reform reform;
  const char *with; /* GH_JOINED: the other tensor's prefix */
} gh_renaming;

/* A family's names in files that are not transformers'. The text tower is open_clip's in all of them, and its names are
 * known here. */
typedef struct gh_weight_names {
  const char *marker;           /* the tensor by which such a file is recognised */
  const char *layers;           /* "visual.transformer.resblocks.": the vision tower's layers, before their numbers */
  const gh_renaming *renamings; /* the rest; ends with a null name */
} gh_weight_names;

/* Whether the tensor or layer of that name, which is transformers', belongs to the vision tower, without its
 * projection; to the text tower, with its projection. */
bool gh_weights_of_vision(const char *name);
bool gh_weights_of_text(const char *name);

/* Opens a model folder or file as gh_safetensors_open does. One with the names of OpenAI, open_clip or timm
 * ("visual.transformer.resblocks.0.attn.in_proj_weight", "visual.trunk.blocks.0.attn.qkv.weight") is seen under
 * transformers': packed projections are cut in three, the final ones transposed. Of a folder with an
 * open_clip_config.json, opens open_clip_model.safetensors. */
gh_status gh_weights_open(gh_error *err, gh_safetensors **out, const char *path);

/* GH_ERROR_FILE if the metadata "made_by" of the folder's `weights` ("model.safetensors") is not `maker`, or if there
 * is a `config` ("config.json") without such a file: somebody's model, possibly in shards, or a run must not be
 * overwritten. */
gh_status gh_weights_refuse_others(gh_error *err, const char *folder, const char *weights, const char *config,
                                   const char *maker);

#endif
