/* The autoencoder's moments (mean and log-variance) of K fixed crops of every image, made once and read by the training
 * steps in its place. Any run whose images, crops, seed and autoencoder are the same can share a cache.
 *
 *   FOLDER/cache.json                  what it was made from; a difference is refused by name
 *   FOLDER/latents-00000.safetensors   moments (count, 2C, h, w) float32, present (count) u8: 0 for a broken image
 *   FOLDER/lock                        held while latents are made
 *
 * Entry k * images + i is crop k of image i (data/loader.h). Shards appear whole; an interrupted making goes on with
 * the first that is missing. */
#ifndef GH_DATA_LATENT_CACHE_H
#define GH_DATA_LATENT_CACHE_H

#include "data/loader.h"
#include "method/step.h"

typedef struct gh_latent_cache gh_latent_cache;

typedef struct gh_latent_cache_options {
  const char *folder;
  const gh_models *models; /* the autoencoder's file and sizes */
  gh_device *device;
  int64_t batch;            /* images a launch of the autoencoder */
  gh_loader_options images; /* sources, image_size, crop rule, crops (K >= 1), seed, workers, ahead; not the rest */
  int64_t shard_bytes;      /* about; 0: 64 MiB */
} gh_latent_cache_options;

/* Opens the cache and makes what is missing of it. GH_ERROR_CONFIG names what the cache was made from that is not so
 * any more; GH_ERROR_STOPPED when a signal came, and what was made stays. */
gh_status gh_latent_cache_open(gh_error *err, gh_latent_cache **out, const gh_latent_cache_options *options);
void gh_latent_cache_free(gh_latent_cache *cache); /* NULL is fine */

/* moments (count, 2C, h, w) of what these samples show. One thread at a time. */
gh_status gh_latent_cache_read(gh_error *err, gh_latent_cache *cache, const gh_loader_sample *samples, size_t count,
                               float *moments);

#endif
