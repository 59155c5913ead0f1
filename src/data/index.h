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

/* Start from `gh_index index = {0};`. */
typedef struct gh_index {
  gh_index_entry *entries;
  size_t count, capacity;
  char *text; /* the names, each ended by a zero byte */
  size_t text_used, text_capacity;
  uint64_t skipped; /* members left out */
  gh_strings notes; /* "PLACE/NAME: why" of the first GH_INDEX_NOTES of them */
} gh_index;

#define GH_INDEX_NOTES 100

typedef enum gh_name_kind {
  GH_NAME_OTHER,  /* captions, metadata: not meant as images */
  GH_NAME_IMAGE,  /* *.png, *.jpg, *.jpeg in any case */
  GH_NAME_REFUSED /* an image format that is not supported, such as *.webp */
} gh_name_kind;
gh_name_kind gh_name_kind_of(const char *name);

/* Adds an image of `bytes` bytes at `offset`; one larger than GH_IMAGE_MAX_BYTES or of an unsupported format is counted
 * as left out. Other names are ignored. */
gh_status gh_index_add(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes);
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
