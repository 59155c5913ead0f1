/* What the image and the text embedder share: one tower of a model folder, with an adapter or trained tensors. */
#ifndef GH_EVAL_TOWER_H
#define GH_EVAL_TOWER_H

#include "models/adapter.h"
#include "models/vision.h"

typedef struct gh_embed_options {
  const char *adapter; /* PEFT folder to compute with, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  int64_t batch;       /* images or lines a launch, at least 1 */
  gh_dtype storage;    /* GH_BF16: mixed precision (models/module.h); the embeddings are float32 all the same */
} gh_embed_options;

typedef struct gh_tower {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_safetensors *weights; /* while it is built */
  gh_adapter adapter;      /* likewise */
  gh_lora lora;
  gh_dtype storage;
  bool adapted, text;
} gh_tower;

/* Opens the files; then the caller adds inputs to the store and records with gh_tower_module; finish applies what was
 * trained (`text`: of the text tower, otherwise all the rest), keeps `out` and plans. Close also after failure. */
gh_status gh_tower_begin(gh_error *err, gh_tower *t, gh_device *device, const char *folder, bool text,
                         const gh_embed_options *options);
gh_module gh_tower_module(const gh_tower *t); /* valid while t stays where it is */
gh_status gh_tower_finish(gh_error *err, gh_tower *t, gh_tensor *out, const gh_embed_options *options);
void gh_tower_close(gh_tower *t); /* an empty one is fine */

#endif
