#include "io/shards.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/braces.h"
#include "io/tar.h"

bool gh_shards_meant(const char *path) {
  static const char *const endings[] = {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4"};
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (gh_ends_with(path, endings[i])) return true;
  return strpbrk(path, "{}") && !gh_path_exists(path);
}

/* ---- which shards ---- */

static gh_status find_shards(gh_error *err, gh_shards *shards, const char *pattern) {
  bool literal = gh_path_exists(pattern); /* a file that is there needs no expansion, whatever its name */
  gh_status status =
      literal ? gh_strings_add(err, &shards->paths, pattern) : gh_braces_expand(err, &shards->paths, pattern);
  const gh_strings *paths = &shards->paths;
  for (size_t i = 0; i < paths->count && !status; i++) {
    const char *path = paths->items[i];
    if (!gh_shards_meant(path))
      status = gh_fail(err, GH_ERROR_CONFIG, "%s: a pattern names .tar shards, and %s is none", pattern, path);
    else if (!gh_path_is_file(path) && paths->count == 1)
      status = gh_fail(err, GH_ERROR_FILE, "%s: no such file", path);
    else if (!gh_path_is_file(path))
      status = gh_fail(err, GH_ERROR_FILE, "%s: no such file: shard %zu of the %zu of %s", path, i + 1, paths->count,
                       pattern);
  }
  return status;
}

/* ---- what is in one ---- */

typedef struct indexing {
  gh_index *index;
  const char *shard;
} indexing;

static bool is_hidden(const char *name) {
  for (const char *part = name; part; part = (part = strchr(part, '/')) ? part + 1 : NULL)
    if (part[0] == '.') return true;
  return false;
}

static gh_status add_member(gh_error *err, void *context, const gh_tar_member *member) {
  const indexing *at = context;
  bool wanted = gh_name_kind_of(member->name) != GH_NAME_OTHER || member->name_unsure;
  const char *problem = member->problem;
  if (!wanted) return GH_OK;
  if (!problem && !gh_path_stays_inside(member->name))
    problem = "a name that leaves its folder";
  else if (!problem && is_hidden(member->name)) /* as in folders: macOS puts "._a.jpg" beside "a.jpg" */
    return GH_OK;
  if (problem) return gh_index_skip(err, at->index, at->shard, member->name, problem);
  return gh_index_add(err, at->index, at->shard, member->name, member->offset, member->bytes);
}

static gh_status open_shard(gh_error *err, const char *path, int *fd, uint64_t *bytes) {
  struct stat facts;
  *fd = open(path, O_RDONLY | O_CLOEXEC);
  if (*fd < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  if (!fstat(*fd, &facts) && S_ISREG(facts.st_mode)) {
    *bytes = (uint64_t)facts.st_size;
    return GH_OK;
  }
  close(*fd);
  return gh_fail(err, GH_ERROR_FILE, "%s: not a regular file", path);
}

static gh_status refuse_compressed(gh_error *err, const char *path, int fd) {
  char start[8];
  ssize_t got = pread(fd, start, sizeof start, 0);
  const char *compression = got > 0 ? gh_tar_compression(start, (size_t)got) : NULL;
  if (!compression) return GH_OK;
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "%s: compressed with %s; training reads images in any order, so decompress it first", path,
                 compression);
}

static gh_status index_shard(gh_error *err, gh_index *index, const char *path, uint64_t *bytes) {
  int fd;
  gh_tar_end end;
  indexing context = {index, path};
  size_t first = index->count;
  gh_status status = open_shard(err, path, &fd, bytes);
  if (status) return status;
  const gh_tar_input input = {.fd = fd, .size = *bytes};
  status = refuse_compressed(err, path, fd);
  if (!status) status = gh_tar_walk(err, &input, add_member, &context, &end);
  close(fd);
  if (!status && end.broken[0]) {
    char why[GH_ERROR_TEXT_SIZE];
    snprintf(why, sizeof why, "broken at byte %llu of %llu (%s), only what is before that is used",
             (unsigned long long)end.offset, (unsigned long long)*bytes, end.broken);
    status = gh_index_skip(err, index, path, NULL, why);
  }
  return status ? status : gh_index_sort(err, index, path, first);
}

gh_status gh_shards_index(gh_error *err, gh_shards *out, gh_index *index, const char *pattern) {
  *out = (gh_shards){0};
  gh_status status = find_shards(err, out, pattern);
  if (status) return status;
  out->bytes = gh_alloc(err, out->paths.count, sizeof *out->bytes);
  out->starts = gh_alloc(err, out->paths.count + 1, sizeof *out->starts);
  if (!out->bytes || !out->starts) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < out->paths.count && !status; i++) {
    status = index_shard(err, index, out->paths.items[i], &out->bytes[i]);
    out->starts[i + 1] = index->count;
  }
  if (!status && !index->count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: no image (*.png, *.jpg, *.jpeg) in it%s%s", pattern,
                     index->notes.count ? "; " : "", index->notes.count ? index->notes.items[0] : "");
  return status;
}

void gh_shards_free(gh_shards *shards) {
  gh_strings_free(&shards->paths);
  free(shards->bytes);
  free(shards->starts);
  *shards = (gh_shards){0};
}

/* ---- reading ---- */

size_t gh_shards_find(const gh_shards *shards, size_t entry) {
  size_t low = 0, high = shards->paths.count; /* starts[low] <= entry < starts[high] */
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (shards->starts[middle] <= entry)
      low = middle;
    else
      high = middle;
  }
  return low;
}

gh_status gh_shards_load(gh_error *err, const gh_shards *shards, const gh_index *index, size_t entry, char **bytes,
                         size_t *size) {
  const gh_index_entry *at = &index->entries[entry];
  size_t shard = gh_shards_find(shards, entry), done = 0;
  const char *path = shards->paths.items[shard];
  uint64_t now;
  int fd;
  *bytes = NULL;
  *size = at->bytes;
  gh_status status = open_shard(err, path, &fd, &now);
  if (status) return status;
  if (now != shards->bytes[shard]) {
    status = gh_fail(err, GH_ERROR_FILE, "%s: changed since it was listed", path);
    goto done;
  }
  if (!(*bytes = gh_alloc(err, (size_t)at->bytes + 1, 1))) {
    status = GH_ERROR_MEMORY;
    goto done;
  }
  while (done < at->bytes && !status) {
    ssize_t got = pread(fd, *bytes + done, at->bytes - done, (off_t)(at->offset + done));
    if (got > 0) done += (size_t)got;
    if (got == 0 || (got < 0 && errno != EINTR))
      status = gh_fail(err, GH_ERROR_FILE, "%s/%s: reading failed: %s", path, gh_index_name(index, entry),
                       got ? strerror(errno) : "the file became shorter");
  }
done:
  close(fd);
  if (status) {
    free(*bytes);
    *bytes = NULL;
  }
  return status;
}
