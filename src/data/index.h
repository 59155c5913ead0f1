/* The images of one source: names, sizes and places, a million of them in 16 bytes each plus their names; and the
 * members that had to be left out, counted and named. */
#ifndef GH_DATA_INDEX_H
#define GH_DATA_INDEX_H

#include "base/text.h"

typedef struct gh_index_entry {
  uint64_t offset; /* of the content in its shard; 0 for a file */
  uint32_t bytes;  /* of the content */
  uint32_t name;   /* where it starts in `text` */
} gh_index_entry;

/* Start from `gh_index index = {0};`. */
typedef struct gh_index {
  gh_index_entry *entries;
  size_t count, capacity;
  char *text; /* the names, each ended by a zero byte */
  size_t text_used, text_capacity;
  uint64_t skipped; /* what was left out */
  gh_strings notes; /* "PLACE/NAME: why" of the first GH_INDEX_NOTES of them */
} gh_index;

#define GH_INDEX_NOTES 100

typedef enum gh_name_kind {
  GH_NAME_OTHER,  /* captions, metadata: no image, and none was expected */
  GH_NAME_IMAGE,  /* *.png, *.jpg, *.jpeg in any case */
  GH_NAME_REFUSED /* an image format that is not supported, such as *.webp */
} gh_name_kind;
gh_name_kind gh_name_kind_of(const char *name);

/* An image of `bytes` bytes (more than GH_IMAGE_MAX_BYTES is left out) at `offset`. An image of a refused format is
 * left out, any other name passed over. */
gh_status gh_index_add(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes);
/* Counts what had to be left out. `name` may be NULL: the folder or shard itself is meant. */
gh_status gh_index_skip(gh_error *err, gh_index *index, const char *name, const char *why);

/* Sorts bytewise by name. Of several with one name the first in its shard stays. */
gh_status gh_index_sort(gh_error *err, gh_index *index);

/* Until the place is told (the folder, the shard), notes lack it: "/NAME: why", ": why". */
gh_status gh_index_set_place(gh_error *err, gh_index *index, const char *place);
/* Puts the part's images behind those already there, and its notes with their place. */
gh_status gh_index_append(gh_error *err, gh_index *index, const gh_index *part, const char *place);

/* An index whose place is not told as bytes for a cache on this machine, and back. Unpack takes nothing on trust: false
 * unless every entry lies in a shard of shard_bytes bytes; then *out is empty. */
gh_status gh_index_pack(gh_error *err, const gh_index *index, char **bytes, size_t *size);
bool gh_index_unpack(gh_index *out, const char *bytes, size_t size, uint64_t shard_bytes);

const char *gh_index_name(const gh_index *index, size_t i); /* borrowed, until the next change */
void gh_index_trim(gh_index *index);                        /* gives back the room for growth */
void gh_index_free(gh_index *index);                        /* leaves an empty index */

#endif
