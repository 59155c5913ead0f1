/* A folder of images, or one image, to a matrix of embeddings with names. */
#ifndef GH_EVAL_ENCODE_H
#define GH_EVAL_ENCODE_H

#include "eval/embed.h"
#include "io/source.h"

typedef struct gh_encoding {
  float *embeddings; /* (names.count, width), as projected */
  int64_t width;
  gh_strings names;   /* relative to the folder, in the source's order */
  gh_strings skipped; /* images that could not be read: name, reason, name, reason, ... */
} gh_encoding;

/* Embeds every image of the source; one that cannot be decoded is skipped, with a warning that names it. None left is
 * GH_ERROR_FORMAT. Decodes on every processor while the device computes; shows progress. */
gh_status gh_encode(gh_error *err, gh_encoding *out, gh_embedder *embedder, const gh_source *source);
void gh_encoding_free(gh_encoding *encoding); /* an empty one is fine */

/* `embeddings` (n, D) float32, names as a JSON list under the metadata key "names". */
gh_status gh_encoding_write(gh_error *err, const char *path, const gh_encoding *encoding);

#endif
