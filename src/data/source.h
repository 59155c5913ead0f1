/* Where images come from: a folder (with its sub-folders), a single file, or WebDataset shards, listed once.
 *
 * A folder's images are the files named *.png, *.jpg, *.webp and so on in any case (io/image.h has the formats), sorted
 * bytewise by their name relative to the folder; names beginning with '.' are left out. Shards are .tar files, one or a
 * brace pattern of them (data/braces.h), in the pattern's order; the images of each are sorted as in a folder, so that
 * a shard and the folder it was made from are the same source. A sample's members are told apart by webdataset's keys:
 * beside z.jpg, z.seg.png is not an image. Captions and metadata are ignored; captions.h reads captions.
 *
 * Anything that looks like an image but cannot be used is left out, counted and noted: an image of another format
 * (*.gif); a member that is a link, sparse, a folder or larger than GH_IMAGE_MAX_BYTES; a name that leaves its folder
 * ("..", absolute); a duplicate name; and, once per broken or truncated shard, the part that is lost.
 *
 * Nothing is decoded here. Reading is safe from any thread. */
#ifndef GH_DATA_SOURCE_H
#define GH_DATA_SOURCE_H

#include "base/text.h"
#include "data/shards.h"

typedef struct gh_source gh_source;

/* GH_ERROR_FILE: nothing there, a missing shard (the first is named), or no image; GH_ERROR_CONFIG: an invalid pattern;
 * GH_ERROR_UNSUPPORTED: a compressed shard. */
gh_status gh_source_open(gh_error *err, gh_source **out, const char *path);
/* The same; `keys` chooses the members of shards that are pictures (data/index.h); NULL: jpg, jpeg and png. */
gh_status gh_source_open_keys(gh_error *err, gh_source **out, const char *path, const gh_strings *keys);
void gh_source_free(gh_source *source); /* NULL is fine */

const gh_shards *gh_source_shards(const gh_source *source); /* NULL: a folder or a file */

const char *gh_source_path(const gh_source *source); /* as given to open */
size_t gh_source_count(const gh_source *source);
const char *gh_source_name(const gh_source *source, size_t index); /* relative to the folder or shard; "sub/a.png" */
uint64_t gh_source_bytes(const gh_source *source, size_t index);   /* encoded size when listed */

/* The number of images left out, and, for tests, a line "NAME: why" for each of the first GH_INDEX_NOTES. */
uint64_t gh_source_left_out(const gh_source *source);
const gh_strings *gh_source_notes(const gh_source *source);
void gh_source_warn(const gh_source *source); /* warns the user: the first ten by name, and all by reason */

/* The image's name in messages: "photos/sub/a.png", "data/00000.tar/0001.jpg". The caller frees. */
char *gh_source_full_name(gh_error *err, const gh_source *source, size_t index);

/* The name in results: relative to the folder, "sub/a.png"; for shards with the shard, "00000.tar/0001.jpg", from the
 * folder on that all of them are in. The caller frees. */
char *gh_source_short_name(gh_error *err, const gh_source *source, size_t index);

/* The encoded file; the caller frees. A shard whose size has changed since listing is GH_ERROR_FILE. */
gh_status gh_source_load(gh_error *err, const gh_source *source, size_t index, char **bytes, size_t *size);

/* xxHash64 over names and sizes, chained through `seed`. The location of the folder or the shards does not matter. */
uint64_t gh_source_hash(const gh_source *source, uint64_t seed);

#endif
