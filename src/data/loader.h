/* Training images: sources -> random resized crops -> batches, decoded ahead of the device by worker threads.
 *
 * A run is a stream of samples 0, 1, 2, ... (ordinals). Ordinal p belongs to epoch p / n of the n indexed images and
 * shows image gh_permute(shuffle of that epoch, p % n, n); its crop is drawn from the stream "crop" at p. So a sample
 * is a pure function of (sources, seed, stage, p), independent of the number of workers, the batch size and the rank.
 *
 * With fixed crops (`crops` K) an image has K crops, the same in every stage: crop k of image i is drawn from the
 * stream "crop" of stage 0 named k, at ordinal i, and epoch e shows crop e % K.
 *
 * An image with content that cannot be decoded is skipped, counted, and named once in a warning. The samples meant for
 * it show the next decodable image of the same epoch's shuffle (cyclically), with their own crop. A file that cannot be
 * opened or read, and memory that runs out, are tried again for a while (base/retry.h), and then end the stream with
 * that error: they never change which images a run sees. */
#ifndef GH_DATA_LOADER_H
#define GH_DATA_LOADER_H

#include "base/status.h"
#include "base/text.h"
#include "data/augment.h"
#include "data/image_set.h"

typedef struct gh_loader gh_loader;

typedef struct gh_loader_options {
  const gh_image_set *set;    /* the images, which must outlive the loader; NULL: it lists `sources` itself */
  const char *const *sources; /* [source_count] paths: see data/source.h */
  size_t source_count;
  int image_size; /* S */
  gh_crop_rule crop;
  uint64_t seed;
  int stage;      /* 1 or 2 */
  uint64_t crops; /* fixed crops per image; 0: a new one for every sample */
  bool in_order;  /* no shuffle: position p of an epoch shows image p */
  /* Which ordinals this loader hands out: `block` of every `period`, from first_ordinal on; 0 and 0 mean all. Rank r of
   * R: first_ordinal = start + r * block, block = batch / R, period = batch. */
  uint64_t first_ordinal, block, period;
  int workers;  /* threads; 0: gh_loader_next decodes in its caller's thread */
  size_t ahead; /* samples decoded ahead at most, 3 * S * S bytes each; at least 1 */
} gh_loader_options;

/* The content of a sample. */
typedef struct gh_loader_sample {
  uint64_t ordinal;
  uint64_t image; /* an index into the sources' images, after substitution */
  uint64_t crop;  /* which of its fixed crops; 0 without fixed crops */
} gh_loader_sample;

typedef struct gh_loader_stats {
  uint64_t images;   /* indexed */
  uint64_t left_out; /* looked like images when listed, but cannot be used: data/source.h */
  uint64_t skipped;  /* images found broken so far, and those left out */
  uint64_t samples;  /* handed out */
} gh_loader_stats;

/* Lists the sources (unless `set` is given) and starts the workers. */
gh_status gh_loader_create(gh_error *err, gh_loader **out, const gh_loader_options *options);
void gh_loader_free(gh_loader *loader); /* stops the workers; NULL is fine */

/* The next `count` samples. images: (count, 3, S, S) float32 in [0, 1], byte / 255; ordinals: (count), may be NULL.
 * Blocks until they are ready. After a failure every further call fails the same way. One thread at a time. */
gh_status gh_loader_next(gh_error *err, gh_loader *loader, float *images, uint64_t *ordinals, size_t count);

/* The same, with details of each sample: samples (count). */
gh_status gh_loader_next_samples(gh_error *err, gh_loader *loader, float *images, gh_loader_sample *samples,
                                 size_t count);

void gh_loader_get_stats(gh_loader *loader, gh_loader_stats *out);

/* The image that ordinal shows, before substitution: an index into the concatenated images of the sources. Tests read
 * the order by it without decoding. */
uint64_t gh_loader_image_of(const gh_loader *loader, uint64_t ordinal);
char *gh_loader_name(gh_error *err, const gh_loader *loader, uint64_t index); /* full name; the caller frees */

/* For checkpoints: identifies the set of images (names and sizes). */
uint64_t gh_loader_index_hash(const gh_loader *loader);
/* The images found broken, by name in the order of the index. For tests. */
gh_status gh_loader_skipped(gh_error *err, gh_loader *loader, gh_strings *out);

#endif
