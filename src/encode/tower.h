/* Shared by the image and the text embedder: one tower of a model folder, with an adapter or trained tensors. */
#ifndef GH_ENCODE_TOWER_H
#define GH_ENCODE_TOWER_H

#include "models/adapter.h"
#include "models/family.h"

typedef struct gh_embed_options {
  const char *adapter; /* PEFT folder to compute with, or NULL */
  const char *encoder; /* safetensors whose tensors replace the model's (direct tuning), or NULL */
  int64_t batch;       /* images or lines per launch, at least 1 */
  gh_dtype storage;    /* narrow: mixed precision (models/module.h); the embeddings are still float32 */
  /* A store that already holds the tower, from training: its tensors are used in place, in their storage type. The
   * store must outlive the tower. NULL: the tower gets its own store, filled from the files. */
  gh_store *shared;
  const gh_lora *trained; /* the adapter of the shared tower, or NULL; without dropout */
  bool unbacked;          /* nothing is allocated, and the tower cannot run; gh_tower_bytes gives its memory */
} gh_embed_options;

typedef struct gh_tower {
  gh_device *device;
  const gh_family *family;
  gh_store *store;
  gh_graph *graph;
  gh_safetensors *weights; /* open while the tower is built */
  gh_adapter adapter;      /* likewise */
  gh_lora lora;
  gh_dtype storage;
  bool adapted, text;
  bool borrowed, unbacked; /* the store is shared; nothing is allocated */
} gh_tower;

/* begin opens the files. Then the caller adds inputs to the store and records with gh_tower_module. finish applies the
 * trained tensors (with `text` those of the text tower, otherwise all others), keeps `out` and plans. Call close also
 * after failure. */
gh_status gh_tower_begin(gh_error *err, gh_tower *t, gh_device *device, const char *folder, const gh_family *family,
                         bool text, const gh_embed_options *options);
gh_module gh_tower_module(const gh_tower *t); /* valid while t stays where it is */
gh_status gh_tower_finish(gh_error *err, gh_tower *t, gh_tensor *out, const gh_embed_options *options);
void gh_tower_close(gh_tower *t); /* an empty one is fine */

/* Adds the input of that name, or finds it in a shared store that an earlier tower used. */
gh_status gh_tower_input(gh_error *err, gh_tower *t, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                         gh_tensor **out);

/* Device memory of a finished tower: its store, if that is its own, and the values of a batch. */
int64_t gh_tower_bytes(const gh_tower *t);

#endif
