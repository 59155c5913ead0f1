/* Where images come from: a folder (with its sub-folders) or a single file, listed once.
 *
 * A folder's images are the files named *.png, *.jpg, *.jpeg in any case, sorted bytewise by their name relative to the
 * folder; names beginning with '.' are left out. Nothing is decoded here. Reading is safe from any thread. */
#ifndef GH_IO_SOURCE_H
#define GH_IO_SOURCE_H

#include "base/status.h"

typedef struct gh_source gh_source;

/* No image in a folder is GH_ERROR_FILE; a .tar or a brace pattern GH_ERROR_UNSUPPORTED. */
gh_status gh_source_open(gh_error *err, gh_source **out, const char *path);
void gh_source_free(gh_source *source); /* NULL is fine */

const char *gh_source_path(const gh_source *source); /* as given to open */
size_t gh_source_count(const gh_source *source);
const char *gh_source_name(const gh_source *source, size_t index); /* relative to a folder; "sub/a.png" */
uint64_t gh_source_bytes(const gh_source *source, size_t index);   /* encoded size when it was listed */

/* What to call the image in a message: "photos/sub/a.png". The caller frees. */
char *gh_source_full_name(gh_error *err, const gh_source *source, size_t index);

/* The encoded file; the caller frees. */
gh_status gh_source_load(gh_error *err, const gh_source *source, size_t index, char **bytes, size_t *size);

/* xxHash64 over names and sizes, chained through `seed`. Where the folder lies does not matter. */
uint64_t gh_source_hash(const gh_source *source, uint64_t seed);

#endif
