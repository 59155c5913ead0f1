#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/shards.h"
#include "io/image.h"

struct gh_source {
  char *path;       /* as given */
  char *folder;     /* the folder that names are relative to; NULL for shards */
  gh_shards shards; /* empty for a folder or a file */
  size_t common;    /* bytes of the shards' paths that all of them have: their folder */
  gh_index index;
};

/* ---- listing ---- */

typedef struct listing {
  gh_index *index;
  const char *folder;
  uint64_t shards; /* .tar files seen, for a hint */
} listing;

/* The size of a picture; a fault is tried again. Returns 0 or an errno. */
static int size_of(int folder_fd, const char *entry, const char *name, uint64_t *bytes) {
  struct stat facts;
  gh_retry retry = {0};
  int code;
  do code = fstatat(folder_fd, entry, &facts, 0) ? errno : 0;
  while (code && gh_retry_code(&retry, name, code));
  *bytes = code ? 0 : (uint64_t)facts.st_size;
  return code;
}

static gh_status add_file(gh_error *err, void *context, const char *name, int folder_fd, const char *entry) {
  listing *list = context;
  uint64_t bytes = 0;
  list->shards += gh_ends_with(entry, ".tar");
  const int code = gh_name_kind_of(entry) == GH_NAME_OTHER ? 0 : size_of(folder_fd, entry, name, &bytes);
  if (code) return gh_fail(err, GH_ERROR_FILE, "%s/%s: %s", list->folder, name, strerror(code));
  return gh_index_add(err, list->index, name, 0, bytes);
}

/* git-annex leaves a broken link for content that was not fetched. */
static gh_status add_other(gh_error *err, void *context, const char *name, int folder_fd, const char *entry) {
  listing *list = context;
  struct stat facts;
  const bool broken = !fstatat(folder_fd, entry, &facts, AT_SYMLINK_NOFOLLOW) && S_ISLNK(facts.st_mode) &&
                      fstatat(folder_fd, entry, &facts, 0);
  if (gh_name_kind_of(entry) == GH_NAME_OTHER) return GH_OK;
  return gh_index_skip(err, list->index, name, broken ? "a broken symbolic link" : "a pipe or a device");
}

static gh_status list_folder(gh_error *err, gh_source *source, const char *path) {
  listing list = {.index = &source->index, .folder = path};
  if (!(source->folder = gh_strdup(err, path))) return GH_ERROR_MEMORY;
  gh_status status = gh_folder_walk(err, path, true, add_file, add_other, &list);
  if (!status) status = gh_index_sort(err, &source->index);
  if (!status) status = gh_index_set_place(err, &source->index, path);
  if (status || source->index.count) return status;
  const gh_strings *notes = &source->index.notes;
  const bool tell = !list.shards && notes->count;
  return gh_fail(err, GH_ERROR_FILE, "%s: no image (%s) in this folder%s%s", path, gh_image_formats(),
                 list.shards ? "; to use its shards, write FOLDER/{00000..00331}.tar"
                 : tell      ? "; "
                             : "",
                 tell ? notes->items[0] : "");
}

static gh_status list_file(gh_error *err, gh_source *source, const char *path) {
  uint64_t bytes;
  if (gh_name_kind_of(path) != GH_NAME_IMAGE)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: neither a folder nor an image (%s)", path, gh_image_formats());
  if (!(source->folder = gh_path_folder(err, path))) return GH_ERROR_MEMORY;
  gh_status status = gh_file_size(err, path, &bytes);
  if (!status) status = gh_index_add(err, &source->index, gh_path_name(path), 0, bytes);
  if (!status) status = gh_index_set_place(err, &source->index, source->folder);
  if (status || source->index.count) return status;
  return gh_fail(err, GH_ERROR_FILE, "%s", source->index.notes.items[0]);
}

/* The length of the folder that all shards are in, with its slash. */
static size_t common_folder(const gh_strings *shards) {
  const char *first = shards->items[0];
  size_t length = (size_t)(gh_path_name(first) - first);
  for (size_t i = 1; i < shards->count; i++)
    while (length && strncmp(first, shards->items[i], length)) /* one component less */
      for (length--; length && first[length - 1] != '/';) length--;
  return length;
}

static gh_status list(gh_error *err, gh_source *source, const char *path, const gh_strings *keys) {
  gh_path_kind kind;
  if (gh_path_look(err, path, &kind)) return err->status;
  if (kind == GH_PATH_FOLDER) return list_folder(err, source, path);
  if (gh_shards_meant(path)) return gh_shards_index(err, &source->shards, &source->index, path, keys);
  if (kind == GH_PATH_ABSENT && strpbrk(path, "*?["))
    return gh_fail(err, GH_ERROR_FILE, "%s: no such file or folder; name the folder, or .tar shards with braces", path);
  if (kind == GH_PATH_ABSENT) return gh_fail(err, GH_ERROR_FILE, "%s: no such file or folder", path);
  if (kind == GH_PATH_OTHER) return gh_fail(err, GH_ERROR_FILE, "%s: a pipe or a device, not a picture", path);
  return list_file(err, source, path);
}

gh_status gh_source_open(gh_error *err, gh_source **out, const char *path) {
  return gh_source_open_keys(err, out, path, NULL);
}

gh_status gh_source_open_keys(gh_error *err, gh_source **out, const char *path, const gh_strings *keys) {
  *out = NULL;
  gh_source *source = gh_alloc(err, 1, sizeof *source);
  if (!source) return GH_ERROR_MEMORY;
  source->path = gh_strdup(err, path);
  gh_status status = source->path ? list(err, source, path, keys) : GH_ERROR_MEMORY;
  if (status) {
    gh_source_free(source);
    return status;
  }
  if (!source->folder) source->common = common_folder(&source->shards.paths);
  gh_index_trim(&source->index);
  *out = source;
  return GH_OK;
}

void gh_source_free(gh_source *source) {
  if (!source) return;
  free(source->path);
  free(source->folder);
  gh_shards_free(&source->shards);
  gh_index_free(&source->index);
  free(source);
}

/* ---- facts ---- */

const gh_shards *gh_source_shards(const gh_source *source) { return source->folder ? NULL : &source->shards; }

const char *gh_source_path(const gh_source *source) { return source->path; }
size_t gh_source_count(const gh_source *source) { return source->index.count; }
const char *gh_source_name(const gh_source *source, size_t index) { return gh_index_name(&source->index, index); }
uint64_t gh_source_bytes(const gh_source *source, size_t index) { return source->index.entries[index].bytes; }
uint64_t gh_source_left_out(const gh_source *source) { return source->index.skipped; }
const gh_strings *gh_source_notes(const gh_source *source) { return &source->index.notes; }

char *gh_source_full_name(gh_error *err, const gh_source *source, size_t index) {
  const char *name = gh_source_name(source, index);
  if (source->folder) return gh_path_join(err, source->folder, name);
  return gh_format(err, "%s/%s", source->shards.paths.items[gh_shards_find(&source->shards, index)], name);
}

char *gh_source_short_name(gh_error *err, const gh_source *source, size_t index) {
  const char *name = gh_source_name(source, index);
  if (source->folder) return gh_strdup(err, name);
  return gh_format(err, "%s/%s", source->shards.paths.items[gh_shards_find(&source->shards, index)] + source->common,
                   name);
}

/* torchvision's and webdataset's lists of endings lack these: the same folder gives other tools fewer pictures. */
static void warn_of_rare_endings(const gh_source *source) {
  static const char *const endings[] = {".jfif", ".jpe"};
  for (size_t e = 0; e < GH_COUNT(endings); e++) {
    size_t count = 0;
    for (size_t i = 0; i < gh_source_count(source); i++) {
      const char *dot = strrchr(gh_source_name(source, i), '.');
      count += dot && !strcasecmp(dot, endings[e]);
    }
    if (count)
      gh_warn("%s: %zu picture%s ending in %s read as JPEG, which many tools leave out", source->path, count,
              count == 1 ? "" : "s", endings[e]);
  }
}

void gh_source_warn(const gh_source *source) {
  const size_t most = 10;
  const gh_index *index = &source->index;
  char reasons[600];
  uint64_t noted = index->skipped, all = 0;
  for (size_t i = 0; i < index->notes.count && i < most; i++) gh_warn("skipped: %s", index->notes.items[i]);
  for (size_t i = 0; i < GH_INDEX_REASONS; i++) all += index->reasons[i].quiet ? 0 : index->reasons[i].count;
  gh_index_reasons(reasons, sizeof reasons, index, false);
  if (noted > most || all > noted) gh_warn("%s: left out: %s", source->path, reasons);
  gh_index_reasons(reasons, sizeof reasons, index, true);
  if (reasons[0]) gh_info("%s: not images: %s", source->path, reasons);
  warn_of_rare_endings(source);
}

uint64_t gh_source_hash(const gh_source *source, uint64_t seed) {
  for (size_t i = 0; i < gh_source_count(source); i++) {
    const char *name = gh_source_name(source, i);
    uint64_t bytes = gh_source_bytes(source, i);
    uint8_t size[8]; /* little endian, so that every machine hashes the same */
    for (int b = 0; b < 8; b++) size[b] = (uint8_t)(bytes >> (8 * b));
    seed = XXH64(name, strlen(name) + 1, seed); /* the zero byte separates names: "ab" + "c" is not "a" + "bc" */
    seed = XXH64(size, sizeof size, seed);
  }
  return seed;
}

/* ---- reading ---- */

gh_status gh_source_load(gh_error *err, const gh_source *source, size_t index, char **bytes, size_t *size) {
  if (!source->folder) return gh_shards_load(err, &source->shards, &source->index, index, bytes, size);
  char *file = gh_source_full_name(err, source, index);
  gh_status status = file ? gh_file_read(err, file, GH_IMAGE_MAX_BYTES, bytes, size) : GH_ERROR_MEMORY;
  free(file);
  return status;
}
