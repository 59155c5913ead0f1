/* What an objective needs from each picture (an autoencoder's moments, codes, ...), computed once for K fixed crops of
 * every image and then read by the training steps. The cache stores one tensor per crop, which the caller describes
 * (gh_target). Runs with the same images, crops, seed and target can share a cache.
 *
 *   FOLDER/cache.json                  what the cache was computed from; a difference is an error that names it
 *   FOLDER/latents-00000.safetensors   the tensor, here "moments" (count, 2C, h, w), present (count) u8: 0 for a broken
 *                                      image, and xxh64 (count) u64: of each entry's bytes, seeded with its number and
 *                                      presence. Shards of earlier versions have no xxh64.
 *   FOLDER/lock                        held while targets are computed
 *
 * Entry k * images + i is crop k of image i (data/loader.h). Shards appear only when complete. After an interruption,
 * work resumes with the first missing shard. An entry is compared with its checksum whenever it is read. */
#ifndef GH_DATA_TARGET_CACHE_H
#define GH_DATA_TARGET_CACHE_H

#include "base/json.h"
#include "base/parts.h"
#include "data/loader.h"
#include "graph/graph.h"

/* A target: the tensor per picture, and how it is computed. `context` is passed to the functions. */
typedef struct gh_target {
  const char *name;               /* the tensor: "moments" */
  const char *files;              /* the first part of the files' names: "latents" */
  gh_dtype dtype;                 /* GH_F32 or GH_I32 */
  int64_t below;                  /* of integers: each is in [0, below); the cache stores 16 bits if that suffices */
  const char *what;               /* of integers: what they select from, "rows of the codebook" */
  int rank;                       /* at most GH_MAX_RANK - 1 */
  int64_t shape[GH_MAX_RANK - 1]; /* of one picture's */
  /* Puts into cache.json what the target depends on besides the pictures: hashes of files, sizes. */
  gh_status (*identify)(gh_error *err, const void *context, gh_json *into);
  /* images (B, 3, S, S) in [0, 1] -> (B, shape...). Parameters are in the store. */
  gh_tensor *(*record)(const void *context, gh_graph *g, gh_store *store, gh_tensor *images);
  const void *context;
} gh_target;

/* Whether t is (B, shape...) of the target's type. */
bool gh_target_describes(const gh_target *target, const gh_tensor *t);

typedef struct gh_target_cache gh_target_cache;

typedef struct gh_target_cache_options {
  const char *folder;
  gh_target target;
  gh_device *device;
  int64_t batch;            /* images per launch */
  gh_loader_options images; /* used: sources, image_size, crop rule, crops (K >= 1), seed, workers, ahead */
  int64_t shard_bytes;      /* approximate; 0: 64 MiB */
  const gh_parts *parts;    /* processes that compute it together; all open it */
  /* Called once kernels have been chosen and before anything is computed with them; NULL: nothing. */
  gh_status (*planned)(gh_error *err, void *user);
  void *user;
} gh_target_cache_options;

/* Opens the cache and computes its missing entries. GH_ERROR_CONFIG names an input of the cache that has changed.
 * GH_ERROR_STOPPED: a signal came; completed shards are kept. */
gh_status gh_target_cache_open(gh_error *err, gh_target_cache **out, const gh_target_cache_options *options);
void gh_target_cache_free(gh_target_cache *cache); /* NULL is fine */

/* Reads the targets (count, shape...) of these samples. One thread at a time. GH_ERROR_FORMAT: an entry is damaged; its
 * shard is removed, and opening the cache computes it again. */
gh_status gh_target_cache_read(gh_error *err, gh_target_cache *cache, const gh_loader_sample *samples, size_t count,
                               void *targets);

#endif
