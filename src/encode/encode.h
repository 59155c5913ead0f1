/* A folder of images, or one image, to a matrix of embeddings with names; lines of text to another. */
#ifndef GH_ENCODE_ENCODE_H
#define GH_ENCODE_ENCODE_H

#include "data/source.h"
#include "encode/embed.h"
#include "encode/text_embed.h"

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

typedef struct gh_text_encoding {
  float *embeddings; /* (lines, width), as projected */
  int64_t lines, width;
} gh_text_encoding;

/* The lines of a UTF-8 text file, without their ends (\n or \r\n); what follows the last end is a line unless empty. */
gh_status gh_lines_read(gh_error *err, gh_strings *out, const char *path);
/* Embeds every line; shows progress. No line at all is GH_ERROR_FORMAT; `name` stands for the lines in messages. */
gh_status gh_encode_text(gh_error *err, gh_text_encoding *out, gh_text_embedder *embedder, const gh_strings *lines,
                         const char *name);
void gh_text_encoding_free(gh_text_encoding *encoding); /* an empty one is fine */

/* `embeddings` (n, D) float32, names as a JSON list under the metadata key "names"; `text_embeddings` (lines, D).
 * Either may be NULL. */
gh_status gh_encoding_write(gh_error *err, const char *path, const gh_encoding *encoding, const gh_text_encoding *text);

#endif
