/* The image encoder: images to embeddings, one batch at a time, on a planned graph. */
#ifndef GH_ENCODE_EMBED_H
#define GH_ENCODE_EMBED_H

#include "base/parts.h"
#include "encode/tower.h"
#include "io/preprocess.h"

typedef struct gh_embedder {
  gh_device *device;
  gh_vision_config config;
  gh_preprocess preprocess;
  int64_t batch, width; /* B, D */
  gh_tower tower;
  gh_tensor *pixels, *embeddings; /* (B, 3, S, S), (B, D) */
  const gh_parts *parts;          /* of processes that share the pictures; set by the caller */
} gh_embedder;

/* Opens a model folder and plans. The device outlives the embedder; free with gh_embedder_close, also after failure. */
gh_status gh_embedder_open(gh_error *err, gh_embedder *out, gh_device *device, const char *folder,
                           const gh_embed_options *options);
void gh_embedder_close(gh_embedder *e); /* an empty one is fine */

int64_t gh_embedder_image_elements(const gh_embedder *e); /* 3 * S * S */

/* Enqueues a batch: pixel_values (B, 3, S, S), normalised, copied before the call returns. */
gh_status gh_embedder_start(gh_error *err, gh_embedder *e, const float *pixel_values);
/* Waits for the batch: embeddings (B, D) as projected, before normalisation. */
gh_status gh_embedder_finish(gh_error *err, gh_embedder *e, float *embeddings);

#endif
