#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/index.h"
#include "eval/dataset_internal.h"

/* ---- folders ---- */

static gh_status refuse_parquet(gh_error *err, const char *path) {
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "%s: parquet is not supported; take the data set's own files (pictures and lists) instead", path);
}

gh_status gh_dataset_refuse_parquet(gh_error *err, const char *folder) {
  static const char *const places[] = {"", "data"};
  gh_status status = GH_OK;
  for (size_t p = 0; p < GH_COUNT(places) && !status; p++) {
    gh_strings names = {0};
    char *place = gh_format(err, "%s%s%s", folder, places[p][0] ? "/" : "", places[p]);
    if (!place) status = GH_ERROR_MEMORY;
    if (!status && gh_path_is_folder(place)) status = gh_folder_list(err, &names, place, false);
    for (size_t i = 0; i < names.count && !status; i++)
      if (gh_ends_with(names.items[i], ".parquet")) status = refuse_parquet(err, place);
    gh_strings_free(&names);
    free(place);
  }
  return status;
}

/* folder/snapshots/REVISION, which folder/refs/main names. */
static gh_status find_snapshot(gh_error *err, char **out, const char *folder, const char *refs) {
  char *text = NULL, *revision = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, refs, 4096, &text, &size);
  if (!status && !(revision = gh_trimmed(err, text))) status = GH_ERROR_MEMORY;
  if (!status && (!gh_path_stays_inside(revision) || strchr(revision, '/')))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: \"%.60s\" is not a revision", refs, revision);
  if (!status && !(*out = gh_format(err, "%s/snapshots/%s", folder, revision))) status = GH_ERROR_MEMORY;
  if (!status && !gh_path_is_folder(*out))
    status = gh_fail(err, GH_ERROR_FILE, "%s: no such folder, but %s names it (an incomplete download?)", *out, refs);
  free(text);
  free(revision);
  return status;
}

gh_status gh_dataset_folder(gh_error *err, char **out, const char *given) {
  *out = NULL;
  if (gh_ends_with(given, ".parquet")) return refuse_parquet(err, given);
  if (!gh_path_is_folder(given)) return gh_fail(err, GH_ERROR_FILE, "%s: no such folder", given);
  char *snapshots = gh_path_join(err, given, "snapshots"), *refs = gh_path_join(err, given, "refs/main");
  gh_status status = snapshots && refs ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_is_folder(snapshots) && gh_path_is_file(refs))
    status = find_snapshot(err, out, given, refs);
  else if (!status && !(*out = gh_strdup(err, given)))
    status = GH_ERROR_MEMORY;
  free(snapshots);
  free(refs);
  if (status) free(*out), *out = NULL;
  return status;
}

/* ---- files ---- */

gh_status gh_dataset_check_images(gh_error *err, const gh_strings *paths, const char *where) {
  size_t missing = 0;
  const char *first = NULL;
  for (size_t i = 0; i < paths->count; i++) {
    if (gh_path_is_file(paths->items[i])) continue;
    if (!missing++) first = paths->items[i];
  }
  if (!missing) return GH_OK;
  if (missing == 1) return gh_fail(err, GH_ERROR_FILE, "%s: a listed image is missing: %s", where, first);
  return gh_fail(err, GH_ERROR_FILE, "%s: %zu of %zu listed images are missing, first %s", where, missing, paths->count,
                 first);
}

gh_status gh_dataset_add_joined(gh_error *err, gh_strings *list, const char *folder, const char *name) {
  char *path = gh_path_join(err, folder, name);
  gh_status status = path ? gh_strings_add(err, list, path) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

gh_status gh_stems_list(gh_error *err, gh_stems *out, const char *folder) {
  gh_strings all = {0};
  *out = (gh_stems){0};
  gh_status status = gh_folder_list(err, &all, folder, false);
  for (size_t i = 0; i < all.count && !status; i++)
    if (gh_name_kind_of(all.items[i]) == GH_NAME_IMAGE) status = gh_strings_add(err, &out->names, all.items[i]);
  gh_strings_free(&all);
  return status;
}

/* Names with the same stem lie side by side: all of them begin with the stem and a dot. */
const char *gh_stems_find(const gh_stems *stems, const char *stem) {
  const size_t length = strlen(stem);
  size_t low = 0, high = stems->names.count;
  while (low < high) { /* the first name that is not before "STEM." */
    size_t middle = (low + high) / 2;
    int order = strncmp(stems->names.items[middle], stem, length);
    if (!order) order = (unsigned char)stems->names.items[middle][length] - '.';
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  for (; low < stems->names.count; low++) {
    const char *name = stems->names.items[low];
    if (strncmp(name, stem, length) || name[length] != '.') break;
    if (strrchr(name, '.') == name + length) return name;
  }
  return NULL;
}

void gh_stems_free(gh_stems *stems) { gh_strings_free(&stems->names); }

char *gh_trimmed(gh_error *err, const char *text) {
  while (isspace((unsigned char)*text)) text++;
  size_t length = strlen(text);
  while (length && isspace((unsigned char)text[length - 1])) length--;
  return gh_format(err, "%.*s", (int)length, text);
}
