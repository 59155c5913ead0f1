/* WebDataset shards: .tar files as img2dataset writes them, KEY.jpg beside KEY.txt and KEY.json. */
#ifndef GH_DATA_SHARDS_H
#define GH_DATA_SHARDS_H

#include "data/index.h"

typedef struct gh_shards {
  gh_strings paths;
  uint64_t *bytes; /* [paths.count] when they were listed */
  size_t *starts;  /* [paths.count + 1] the first entry of each in the index */
} gh_shards;

/* Whether a path that is no folder means shards: *.tar, a compressed one (refused later), or braces. */
bool gh_shards_meant(const char *path);

/* Expands the pattern, checks that every shard is there, and indexes their images one shard after the other. On failure
 * *out and *index hold what gh_shards_free and gh_index_free take. */
gh_status gh_shards_index(gh_error *err, gh_shards *out, gh_index *index, const char *pattern);
void gh_shards_free(gh_shards *shards); /* leaves it empty */

size_t gh_shards_find(const gh_shards *shards, size_t entry); /* which shard holds the index's entry */

/* The bytes of a member and a zero byte after them; the caller frees. */
gh_status gh_shards_load(gh_error *err, const gh_shards *shards, const gh_index *index, size_t entry, char **bytes,
                         size_t *size);

#endif
