/* *.index.json: which tensor is in which file of a sharded set. Input is hostile: shards must lie in the index's
 * folder. */
#ifndef GH_IO_SHARD_INDEX_H
#define GH_IO_SHARD_INDEX_H

#include "base/json.h"

/* Reads the index at path. *json is its document, for gh_json_free; *shards has the distinct paths of its shards,
 * joined with the index's folder and sorted. GH_ERROR_FILE if one is absent. Both must be empty, and are the caller's
 * on failure too. */
gh_status gh_shard_index_read(gh_error *err, gh_json **json, gh_strings *shards, const char *path);

/* Calls `file_of` with the name of every tensor in the index; it returns the path of the file that has the tensor, or
 * NULL. GH_ERROR_FORMAT if that is not the shard that the index names. */
typedef const char *gh_shard_finder(const void *context, const char *tensor);
gh_status gh_shard_index_check(gh_error *err, const gh_json *json, const char *path, gh_shard_finder *file_of,
                               const void *context);

#endif
