#include "io/source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/text.h"
#include "io/image.h"

struct gh_source {
  char *path;       /* as given */
  char *folder;     /* what names are relative to */
  gh_strings names; /* sorted */
  uint64_t *bytes;  /* [names.count] */
};

static bool is_image_name(const char *name) {
  static const char *const endings[] = {".png", ".jpg", ".jpeg"};
  size_t length = strlen(name);
  for (size_t i = 0; i < GH_COUNT(endings); i++) {
    size_t ending = strlen(endings[i]);
    if (length > ending && strcasecmp(name + length - ending, endings[i]) == 0) return true;
  }
  return false;
}

static gh_status list_folder(gh_error *err, gh_source *source, const char *path) {
  gh_strings files = {0};
  gh_status status = GH_OK;
  if (!(source->folder = gh_strdup(err, path))) return GH_ERROR_MEMORY;
  if ((status = gh_folder_list(err, &files, path, true))) goto done;
  for (size_t i = 0; i < files.count; i++)
    if (is_image_name(files.items[i]) && (status = gh_strings_add(err, &source->names, files.items[i]))) goto done;
  if (!source->names.count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: no image (*.png, *.jpg, *.jpeg) in this folder", path);
done:
  gh_strings_free(&files);
  return status;
}

static gh_status list_file(gh_error *err, gh_source *source, const char *path) {
  if (!is_image_name(path))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: neither a folder nor an image (*.png, *.jpg, *.jpeg)", path);
  if (!(source->folder = gh_path_folder(err, path))) return GH_ERROR_MEMORY;
  return gh_strings_add(err, &source->names, gh_path_name(path));
}

/* Shards are a kind of their own, also where a pattern names files that do not exist as such. */
static bool is_shard_pattern(const char *path) {
  return gh_ends_with(path, ".tar") || (strchr(path, '{') && strchr(path, '}') && !gh_path_exists(path));
}

static gh_status list(gh_error *err, gh_source *source, const char *path) {
  if (gh_path_is_folder(path)) return list_folder(err, source, path);
  if (is_shard_pattern(path))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "WebDataset shards are not supported yet: %s", path);
  if (!gh_path_exists(path)) return gh_fail(err, GH_ERROR_FILE, "%s: no such file or folder", path);
  return list_file(err, source, path);
}

gh_status gh_source_open(gh_error *err, gh_source **out, const char *path) {
  *out = NULL;
  gh_source *source = gh_alloc(err, 1, sizeof *source);
  if (!source) return GH_ERROR_MEMORY;
  gh_status status = GH_ERROR_MEMORY;
  if (!(source->path = gh_strdup(err, path))) goto fail;
  if ((status = list(err, source, path))) goto fail;
  if (!(source->bytes = gh_alloc(err, source->names.count, sizeof *source->bytes))) {
    status = GH_ERROR_MEMORY;
    goto fail;
  }
  for (size_t i = 0; i < source->names.count; i++) {
    char *file = gh_source_full_name(err, source, i);
    status = file ? gh_file_size(err, file, &source->bytes[i]) : GH_ERROR_MEMORY;
    free(file);
    if (status) goto fail;
  }
  *out = source;
  return GH_OK;
fail:
  gh_source_free(source);
  return status;
}

void gh_source_free(gh_source *source) {
  if (!source) return;
  free(source->path);
  free(source->folder);
  free(source->bytes);
  gh_strings_free(&source->names);
  free(source);
}

const char *gh_source_path(const gh_source *source) { return source->path; }
size_t gh_source_count(const gh_source *source) { return source->names.count; }
const char *gh_source_name(const gh_source *source, size_t index) { return source->names.items[index]; }
uint64_t gh_source_bytes(const gh_source *source, size_t index) { return source->bytes[index]; }

char *gh_source_full_name(gh_error *err, const gh_source *source, size_t index) {
  return gh_path_join(err, source->folder, source->names.items[index]);
}

gh_status gh_source_load(gh_error *err, const gh_source *source, size_t index, char **bytes, size_t *size) {
  char *file = gh_source_full_name(err, source, index);
  gh_status status = file ? gh_file_read(err, file, GH_IMAGE_MAX_BYTES, bytes, size) : GH_ERROR_MEMORY;
  free(file);
  return status;
}

uint64_t gh_source_hash(const gh_source *source, uint64_t seed) {
  for (size_t i = 0; i < source->names.count; i++) {
    const char *name = source->names.items[i];
    uint8_t size[8]; /* little endian, so that every machine hashes the same */
    for (int b = 0; b < 8; b++) size[b] = (uint8_t)(source->bytes[i] >> (8 * b));
    seed = XXH64(name, strlen(name) + 1, seed); /* its zero byte ends it: "ab" + "c" is not "a" + "bc" */
    seed = XXH64(size, sizeof size, seed);
  }
  return seed;
}
