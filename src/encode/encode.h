/* Encodes a folder of images, or one image, into a matrix of embeddings with names, and lines of text into another. */
#ifndef GH_ENCODE_ENCODE_H
#define GH_ENCODE_ENCODE_H

#include "data/source.h"
#include "encode/embed.h"
#include "encode/text_embed.h"

typedef struct gh_encoding {
  float *embeddings; /* (names.count, width), as projected */
  int64_t width;
  gh_strings names;   /* gh_source_short_name, in the source's order */
  int64_t clipped;    /* pictures of 16-bit grey with values above 255 */
  gh_strings skipped; /* images that could not be read: name, reason, name, reason, ... */
} gh_encoding;

/* Embeds every image of the source. An image whose content cannot be decoded is skipped, with a warning that names it;
 * if none remains, GH_ERROR_FORMAT. A file that cannot be read is an error. Decodes on every processor while the device
 * computes; shows progress. */
gh_status gh_encode(gh_error *err, gh_encoding *out, gh_embedder *embedder, const gh_source *source);
/* The same for the part of embedder->parts; *out has room for all embeddings. It may hold no image: when the parts are
 * together, gh_encoding_check says whether that is an error. */
gh_status gh_encode_part(gh_error *err, gh_encoding *out, gh_embedder *embedder, const gh_source *source);
gh_status gh_encoding_check(gh_error *err, const gh_encoding *encoding, const gh_source *source);
void gh_encoding_free(gh_encoding *encoding); /* an empty one is fine */

typedef struct gh_text_encoding {
  float *embeddings; /* (lines, width), as projected */
  int64_t lines, width;
} gh_text_encoding;

/* Reads the lines of a UTF-8 text file, without their ends (\n or \r\n). Text after the last line end, if any, is
 * also a line. */
gh_status gh_lines_read(gh_error *err, gh_strings *out, const char *path);
/* Embeds every line; shows progress. GH_ERROR_FORMAT if there is no line. `name` is the name of the lines in messages.
 * `parts`: the processes that share the lines; each gets all rows. */
gh_status gh_encode_text(gh_error *err, gh_text_encoding *out, gh_text_embedder *embedder, const gh_strings *lines,
                         const char *name, const gh_parts *parts);
void gh_text_encoding_free(gh_text_encoding *encoding); /* an empty one is fine */

/* Writes `embeddings` (n, D) float32, with the names as a JSON list under the metadata key "names", and
 * `text_embeddings` (lines, D). Either argument may be NULL. */
gh_status gh_encoding_write(gh_error *err, const char *path, const gh_encoding *encoding, const gh_text_encoding *text);

#endif
