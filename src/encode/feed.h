/* Pictures through an encoder: read and preprocessed on every processor while the device works on the batch before. */
#ifndef GH_ENCODE_FEED_H
#define GH_ENCODE_FEED_H

#include "base/text.h"
#include "encode/embed.h"

typedef struct gh_feed {
  gh_embedder *embedder;
  const char *what; /* the progress bar's name; NULL: none is shown */
  size_t total;     /* pictures, by index */
  /* Fills pixels (3, S, S), normalised. Called from several threads. */
  gh_status (*read)(gh_error *err, void *user, size_t index, float *pixels);
  /* Gets every picture's embedding (D), in order, from one thread; why->status is what read gave, and row means
   * something only where that is GH_OK. A failure ends the feed. */
  gh_status (*take)(gh_error *err, void *user, size_t index, const gh_error *why, const float *row);
  void *user;
} gh_feed;

gh_status gh_feed_run(gh_error *err, const gh_feed *feed);

/* The files' embeddings -> out (paths.count, D), as projected. One that cannot be read fails the whole, by name. */
gh_status gh_feed_files(gh_error *err, float *out, gh_embedder *embedder, const gh_strings *paths, const char *what);
/* The same for pictures in memory, which are only read; messages name "picture 7", counted from 0. */
gh_status gh_feed_images(gh_error *err, float *out, gh_embedder *embedder, const gh_image *images, size_t count,
                         const char *what);

/* Decodes every file and forgets it: the error names the first that cannot be decoded, and how many. GH_ERROR_STOPPED
 * when a signal came: there is nothing to lose. */
gh_status gh_feed_check_files(gh_error *err, const gh_strings *paths, const char *what);

#endif
