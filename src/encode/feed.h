/* Feeds pictures through an encoder: they are read and preprocessed on every processor while the device works on the
 * previous batch. */
#ifndef GH_ENCODE_FEED_H
#define GH_ENCODE_FEED_H

#include "base/text.h"
#include "encode/embed.h"

typedef struct gh_feed {
  gh_embedder *embedder;
  const char *what;    /* the progress bar's name; NULL: none is shown */
  size_t first, total; /* pictures [first, total), by index; `first` is a multiple of the batch */
  /* Fills pixels (3, S, S), normalised. Called from several threads, and again after a fault of the machine, which is
   * tried for a while (base/retry.h). */
  gh_status (*read)(gh_error *err, void *user, size_t index, float *pixels);
  /* Gets every picture's embedding (D), in order, on one thread. why->status is the result of `read`; row is valid only
   * if that is GH_OK. A failure ends the feed. */
  gh_status (*take)(gh_error *err, void *user, size_t index, const gh_error *why, const float *row);
  void *user;
} gh_feed;

gh_status gh_feed_run(gh_error *err, const gh_feed *feed);

/* Embeds the files -> out (paths.count, D), as projected; with embedder->parts, together with the other processes. A
 * file that cannot be read is an error that names it. */
gh_status gh_feed_files(gh_error *err, float *out, gh_embedder *embedder, const gh_strings *paths, const char *what);
/* The same for pictures in memory. Messages name them "picture 7", counted from 0. */
gh_status gh_feed_images(gh_error *err, float *out, gh_embedder *embedder, const gh_image *images, size_t count,
                         const char *what);

/* Decodes every file and discards the result. The error names the first file that cannot be decoded, and says how many
 * cannot. GH_ERROR_STOPPED when a signal came. */
gh_status gh_feed_check_files(gh_error *err, const gh_strings *paths, const char *what);

#endif
