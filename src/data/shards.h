/* WebDataset shards: .tar files in img2dataset's layout, KEY.jpg next to KEY.txt and KEY.json. As in webdataset, what
 * follows the first dot of a name tells what the member is: KEY.seg.png is no picture. */
#ifndef GH_DATA_SHARDS_H
#define GH_DATA_SHARDS_H

#include "data/index.h"

typedef struct gh_shards {
  gh_strings paths;
  uint64_t *bytes; /* [paths.count] sizes when listed */
  size_t *starts;  /* [paths.count + 1] the first entry of each in the index */
} gh_shards;

/* Whether a path that is not a folder means shards: *.tar, a compressed tar (rejected later), or braces. */
bool gh_shards_meant(const char *path);

/* Expands the pattern, checks that every shard exists, and indexes their images, shard by shard: the members
 * whose key is one of `keys` (NULL: jpg, jpeg and png). On failure *out and *index must still be freed. */
gh_status gh_shards_index(gh_error *err, gh_shards *out, gh_index *index, const char *pattern, const gh_strings *keys);
void gh_shards_free(gh_shards *shards); /* leaves it empty */

size_t gh_shards_find(const gh_shards *shards, size_t entry); /* which shard holds the index's entry */

/* A member's bytes, followed by a zero byte; the caller frees. */
gh_status gh_shards_load(gh_error *err, const gh_shards *shards, const gh_index *index, size_t entry, char **bytes,
                         size_t *size);

#endif
