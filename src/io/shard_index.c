#include "io/shard_index.h"

#include "base/file.h"
#include "base/incomplete.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keeps one of each in a sorted list. */
static void keep_distinct(gh_strings *list) {
  size_t kept = 0;
  for (size_t i = 0; i < list->count; i++) {
    if (kept && !strcmp(list->items[kept - 1], list->items[i]))
      free(list->items[i]);
    else
      list->items[kept++] = list->items[i];
  }
  list->count = kept;
}

/* The distinct shard names of an index's weight_map, checked to stay inside its folder. */
static gh_status shard_names(gh_error *err, gh_strings *shards, const gh_json *map, const char *path) {
  if (gh_json_type_of(map) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: weight_map: expected an object, found %s", path, gh_json_type_name(map));
  for (const gh_json *item = gh_json_first(map); item; item = gh_json_next(item)) {
    const char *shard;
    gh_status status = gh_json_to_string(err, item, gh_json_key(item), &shard);
    if (status) return gh_fail_in(err, "%s: weight_map", path), status;
    if (!gh_path_stays_inside(shard))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: shard \"%.200s\" is outside the folder of the index", path, shard);
    if ((status = gh_strings_add(err, shards, shard))) return status;
  }
  gh_strings_sort(shards);
  keep_distinct(shards);
  return GH_OK;
}

/* One absent shard is most often an interrupted download of several: says how many there are. */
static gh_status refuse_absent(gh_error *err, const gh_strings *shards, const char *path) {
  size_t absent = 0, first = 0;
  for (size_t i = shards->count; i--;)
    if (!gh_path_exists(shards->items[i])) absent++, first = i;
  if (!absent) return GH_OK;
  gh_error why = {0};
  gh_fail_absent(&why, shards->items[first], ENOENT);
  return gh_fail(err, GH_ERROR_FILE, "%s: %zu of the %zu shards that %s names are absent (an incomplete download?)",
                 why.text, absent, shards->count, gh_path_name(path));
}

gh_status gh_shard_index_read(gh_error *err, gh_json **json, gh_strings *shards, const char *path) {
  char *folder = gh_path_folder(err, path);
  gh_status status = folder ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_read_file(err, json, path, GH_JSON_MAX_BYTES);
  if (!status) status = shard_names(err, shards, gh_json_member(*json, "weight_map"), path);
  for (size_t i = 0; i < shards->count && !status; i++) {
    char *joined = gh_path_join(err, folder, shards->items[i]);
    if (!joined) status = GH_ERROR_MEMORY;
    if (joined) free(shards->items[i]), shards->items[i] = joined;
  }
  if (!status) status = refuse_absent(err, shards, path);
  free(folder);
  return status;
}

static bool lies_in(const char *file, const char *shard) {
  size_t length = strlen(file), tail = strlen(shard);
  return length > tail && file[length - tail - 1] == '/' && gh_ends_with(file, shard);
}

gh_status gh_shard_index_check(gh_error *err, const gh_json *json, const char *path, gh_shard_finder *file_of,
                               const void *context) {
  const gh_json *map = gh_json_member(json, "weight_map");
  for (const gh_json *item = gh_json_first(map); item; item = gh_json_next(item)) {
    const char *shard = "", *file = file_of(context, gh_json_key(item));
    gh_json_to_string(NULL, item, "", &shard);
    if (!file || !lies_in(file, shard))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is not in %.200s", path, gh_json_key(item), shard);
  }
  return GH_OK;
}
