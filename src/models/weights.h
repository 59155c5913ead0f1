/* The weights of an encoder under transformers' names, independent of the names in the file. */
#ifndef GH_MODELS_WEIGHTS_H
#define GH_MODELS_WEIGHTS_H

#include "models/module.h"

/* How a tensor changes, apart from its name. */
typedef enum gh_reform {
  GH_AS_IT_IS,
  GH_TRANSPOSED,    /* (R, C) -> (C, R) */
  GH_SQUEEZED,      /* (1, N, C) -> (N, C) */
  GH_VECTOR_OF_ONE, /* () -> (1) */
  GH_JOINED,        /* the rows of another tensor follow */
  GH_PACKED,        /* within a layer: q, k and v, stacked; `to` is "weight" or "bias", or their prefix */
  GH_LEFT_OUT
} gh_reform;

/* The name in another layout and ours. A name that ends with '.' is a prefix, so "ln_pre." covers weight and bias. */
typedef struct gh_renaming {
  const char *from, *to;
  gh_reform reform;
  const char *with; /* GH_JOINED: the other tensor's prefix */
} gh_renaming;

/* OpenAI's and open_clip's names within a layer. */
extern const gh_renaming gh_openclip_layer[];

/* A family's names in files that are not transformers'. In all of them the text tower has open_clip's names, which
 * weights.c knows. */
typedef struct gh_weight_names {
  const char *marker;           /* the tensor by which such a file is recognised */
  const char *layers;           /* "visual.transformer.resblocks.": the vision tower's layers, before their numbers */
  const gh_renaming *layer;     /* the names within one of them; ends with a null name */
  const gh_renaming *renamings; /* the rest; ends with a null name */
} gh_weight_names;

/* Whether the tensor or layer of that name (transformers') belongs to the vision tower without its projection, or to
 * the text tower with its projection. */
bool gh_weights_of_vision(const char *name);
bool gh_weights_of_text(const char *name);

/* Whether a tensor or layer is named as in a tower alone (transformers 5): "encoder.layers.0.mlp.fc1". */
bool gh_weights_bare(const char *name);
/* Puts the tower ("vision_model.") in front of such names; in the file, `before` precedes them. */
gh_status gh_weights_prefix(gh_error *err, gh_safetensors *file, const char *before, const char *tower);

/* Opens a model folder or file as gh_safetensors_open does. A file with the names of OpenAI, open_clip or timm
 * ("visual.transformer.resblocks.0.attn.in_proj_weight", "visual.trunk.blocks.0.attn.qkv.weight") appears under
 * transformers' names: packed projections are split in three, the final ones transposed. In a folder with an
 * open_clip_config.json, opens open_clip_model.safetensors. A folder without safetensors opens by its
 * pytorch_model.bin, pytorch_model.bin.index.json or open_clip_pytorch_model.bin, as gh_torch_open_weights does; so
 * does such a file. */
gh_status gh_weights_open(gh_error *err, gh_safetensors **out, const char *path);

/* The same file with its tensors under the names that it has. */
gh_status gh_weights_open_as_stored(gh_error *err, gh_safetensors **out, const char *path);
/* The name that gh_weights_open gives to a tensor of a file with these names, if the tensor stays whole and its
 * elements stay in order; else false. */
bool gh_weights_renamed(const gh_weight_names *theirs, const char *name, gh_name *out);

/* GH_ERROR_FILE if the metadata "made_by" of the folder's `weights` ("model.safetensors") is not `maker`, or if there
 * is a `config` ("config.json") without such a file: the folder may hold another model, possibly in shards, or a run,
 * which must not be overwritten. */
gh_status gh_weights_refuse_others(gh_error *err, const char *folder, const char *weights, const char *config,
                                   const char *maker);

#endif
