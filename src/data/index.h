/* The images of one source: names, sizes and offsets, in 16 bytes per image plus its name, so that a million fit; and
 * the members left out, counted and named. */
#ifndef GH_DATA_INDEX_H
#define GH_DATA_INDEX_H

#include "base/text.h"

typedef struct gh_index_entry {
  uint64_t offset; /* of the content in its shard; 0 for a file */
  uint32_t bytes;  /* of the content */
  uint32_t name;   /* offset in `text` */
} gh_index_entry;

/* How many members were left out for one reason, "webp: ..." or "a duplicate name". `quiet`: not meant as images. */
typedef struct gh_left_out_row {
  char reason[64];
  uint64_t count;
  uint64_t quiet;
} gh_left_out_row;

#define GH_INDEX_REASONS 24 /* the last one stands for all others */

/* Start from `gh_index index = {0};`. */
typedef struct gh_index {
  gh_index_entry *entries;
  size_t count, capacity;
  char *text; /* the names, each ended by a zero byte */
  size_t text_used, text_capacity;
  uint64_t skipped;                          /* members left out */
  gh_strings notes;                          /* "PLACE/NAME: why" of the first GH_INDEX_NOTES of them */
  gh_left_out_row reasons[GH_INDEX_REASONS]; /* of all that was left out, captions too; ends with a count of 0 */
} gh_index;

#define GH_INDEX_NOTES 100

typedef enum gh_name_kind {
  GH_NAME_OTHER,  /* captions, metadata: not meant as images */
  GH_NAME_IMAGE,  /* *.png, *.jpg, *.webp, ... in any case */
  GH_NAME_REFUSED /* an image format that this build does not decode, such as *.gif */
} gh_name_kind;
gh_name_kind gh_name_kind_of(const char *name);

/* What follows the first dot of the name's last component, which is the member's key in a webdataset sample:
 * "a/z.seg.png" -> "seg.png". NULL: none, or nothing before the dot. */
const char *gh_sample_key(const char *name);
/* The place of a member's key among the `keys` of pictures, in any case; NULL: among jpg, jpeg and png. -1: the member
 * is no picture. */
int gh_sample_key_rank(const char *key, const gh_strings *keys);

/* Adds an image of `bytes` bytes at `offset`; one larger than GH_IMAGE_MAX_BYTES or of an unsupported format is counted
 * as left out. Other names are ignored. */
gh_status gh_index_add(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes);
/* The same for a member that is known to be an image. */
gh_status gh_index_add_image(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes);
/* Counts a member that is left out without a note: by its ending, for `why`. quiet: it was not meant as an image. */
void gh_index_tally(gh_index *index, const char *ending, const char *why, uint64_t count, bool quiet);
/* "12 seg.png (another key), 3 a duplicate name" of the rows that are quiet, or of the others; "" if there are none. */
void gh_index_reasons(char *out, size_t size, const gh_index *index, bool quiet);
/* Counts a member left out. `name` NULL: the folder or shard itself. */
gh_status gh_index_skip(gh_error *err, gh_index *index, const char *name, const char *why);

/* Sorts bytewise by name. Of several entries with one name, the first in its shard stays. */
gh_status gh_index_sort(gh_error *err, gh_index *index);

/* Sets the place (folder or shard) in notes; before, they lack it: "/NAME: why", ": why". */
gh_status gh_index_set_place(gh_error *err, gh_index *index, const char *place);
/* Appends the part's images, and its notes with their place. */
gh_status gh_index_append(gh_error *err, gh_index *index, const gh_index *part, const char *place);

/* Serialises an index without a place into bytes for a cache on this machine, and back. Unpack trusts nothing: it
 * returns false, with *out empty, unless every entry lies in a shard of shard_bytes bytes. */
gh_status gh_index_pack(gh_error *err, const gh_index *index, char **bytes, size_t *size);
bool gh_index_unpack(gh_index *out, const char *bytes, size_t size, uint64_t shard_bytes);

const char *gh_index_name(const gh_index *index, size_t i); /* borrowed, until the next change */
void gh_index_trim(gh_index *index);                        /* frees unused capacity */
void gh_index_free(gh_index *index);                        /* leaves an empty index */

#endif
