/* What the image and the text embedder share: one tower of a model folder, with an adapter or trained tensors. */
#ifndef GH_ENCODE_TOWER_H
#define GH_ENCODE_TOWER_H

#include "models/adapter.h"
#include "models/family.h"

typedef struct gh_embed_options {
  const char *adapter; /* PEFT folder to compute with, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  int64_t batch;       /* images or lines per launch, at least 1 */
  gh_dtype storage;    /* GH_BF16: mixed precision (models/module.h); the embeddings are float32 all the same */
  /* A store that holds the tower already, as training has made it: its tensors are used where they lie, in the storage
   * type they have. It outlives the tower. NULL: a store of its own, from the files. */
  gh_store *shared;
  const gh_lora *trained; /* what adapts it there, or NULL; dropout is left out */
  bool unbacked;          /* nothing is allocated and it cannot be run; gh_tower_bytes says what it would take */
} gh_embed_options;

typedef struct gh_tower {
  gh_device *device;
  const gh_family *family;
  gh_store *store;
  gh_graph *graph;
  gh_safetensors *weights; /* while it is built */
  gh_adapter adapter;      /* likewise */
  gh_lora lora;
  gh_dtype storage;
  bool adapted, text;
  bool borrowed, unbacked; /* the store is another's; nothing is allocated */
} gh_tower;

/* Opens the files; then the caller adds inputs to the store and records with gh_tower_module; finish applies what was
 * trained (`text`: of the text tower, otherwise all the rest), keeps `out` and plans. Close also after failure. */
gh_status gh_tower_begin(gh_error *err, gh_tower *t, gh_device *device, const char *folder, const gh_family *family,
                         bool text, const gh_embed_options *options);
gh_module gh_tower_module(const gh_tower *t); /* valid while t stays where it is */
gh_status gh_tower_finish(gh_error *err, gh_tower *t, gh_tensor *out, const gh_embed_options *options);
void gh_tower_close(gh_tower *t); /* an empty one is fine */

/* The input of that name, which a shared store may have from an earlier tower. */
gh_status gh_tower_input(gh_error *err, gh_tower *t, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                         gh_tensor **out);

/* Device memory of a finished tower: its store, if that is its own, and the values of a batch. */
int64_t gh_tower_bytes(const gh_tower *t);

#endif
