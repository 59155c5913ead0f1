#include "data/shards.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cache.h"
#include "base/file.h"
#include "base/incomplete.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/braces.h"
#include "io/tar.h"

bool gh_shards_meant(const char *path) {
  static const char *const endings[] = {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4"};
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (gh_ends_with(path, endings[i])) return true;
  return strpbrk(path, "{}") && !gh_path_exists(path);
}

/* ---- finding the shards ---- */

static gh_status find_shards(gh_error *err, gh_shards *shards, const char *pattern) {
  bool literal = gh_path_exists(pattern); /* an existing file is not expanded, whatever its name */
  gh_status status =
      literal ? gh_strings_add(err, &shards->paths, pattern) : gh_braces_expand(err, &shards->paths, pattern);
  const gh_strings *paths = &shards->paths;
  for (size_t i = 0; i < paths->count && !status; i++) {
    const char *path = paths->items[i];
    if (!gh_shards_meant(path))
      status = gh_fail(err, GH_ERROR_CONFIG, "%s: a pattern must name .tar shards; %s is not one", pattern, path);
    else if (!gh_path_is_file(path) && strpbrk(path, "*?["))
      status =
          gh_fail(err, GH_ERROR_FILE, "%s: no such file; a pattern has braces, as in shard-{00000..00331}.tar", path);
    else if (gh_path_exists(path) && !gh_path_is_file(path))
      status = gh_fail(err, GH_ERROR_FILE, "%s: a pipe, a device or a folder, not a shard", path);
    else if (!gh_path_is_file(path) && paths->count == 1)
      status = gh_fail(err, GH_ERROR_FILE, "%s: no such file", path);
    else if (!gh_path_is_file(path))
      status = gh_fail(err, GH_ERROR_FILE, "%s: no such file: shard %zu of the %zu of %s", path, i + 1, paths->count,
                       pattern);
  }
  return status;
}

/* ---- indexing one shard ---- */

static bool is_hidden(const char *name) {
  for (const char *part = name; part; part = (part = strchr(part, '/')) ? part + 1 : NULL)
    if (part[0] == '.') return true;
  return false;
}

typedef struct listing {
  gh_index *index;
  const gh_strings *keys; /* of pictures; NULL: the usual ones */
  struct {
    char *name; /* NULL: there is none */
    size_t stem;
    int rank;
    uint64_t offset, bytes;
  } held; /* the picture of the sample whose members are being read */
} listing;

static gh_status end_sample(gh_error *err, listing *list) {
  gh_status status = GH_OK;
  if (list->held.name)
    status = gh_index_add_image(err, list->index, list->held.name, list->held.offset, list->held.bytes);
  free(list->held.name);
  list->held.name = NULL;
  return status;
}

/* A sample has one picture. Of several, which lie together, the one whose key is named first counts, as for
 * webdataset's "jpg;png". */
static gh_status add_picture(gh_error *err, listing *list, const gh_tar_member *member, const char *key) {
  const size_t stem = (size_t)(key - member->name);
  const int rank = gh_sample_key_rank(key, list->keys);
  if (list->held.name && list->held.stem == stem && !memcmp(list->held.name, member->name, stem) &&
      strcmp(list->held.name, member->name)) { /* a name that occurs twice is told later */
    const bool better = rank < list->held.rank;
    gh_index_tally(list->index, better ? list->held.name + stem : key, "another picture of its sample", 1, false);
    if (!better) return GH_OK;
    free(list->held.name);
    list->held.name = NULL;
  }
  gh_status status = end_sample(err, list);
  if (status || !(list->held.name = gh_strdup(err, member->name))) return status ? status : GH_ERROR_MEMORY;
  list->held.stem = stem;
  list->held.rank = rank;
  list->held.offset = member->offset;
  list->held.bytes = member->bytes;
  return GH_OK;
}

/* A member that is no picture by its key, although it may be one by its ending: a mask beside its picture. */
static gh_status add_other(gh_error *err, gh_index *index, const gh_tar_member *member, const char *key) {
  if (gh_name_kind_of(member->name) != GH_NAME_IMAGE)
    return gh_index_add(err, index, member->name, member->offset, member->bytes);
  gh_index_tally(index, key ? key : "without a key", "no picture by its key", 1, false);
  return GH_OK;
}

static gh_status add_member(gh_error *err, void *context, const gh_tar_member *member) {
  listing *list = context;
  gh_index *index = list->index;
  const char *key = gh_sample_key(member->name), *problem = member->problem;
  const bool picture = gh_sample_key_rank(key, list->keys) >= 0;
  if (!picture && gh_name_kind_of(member->name) == GH_NAME_OTHER && !member->name_unsure) {
    if (problem) return GH_OK; /* folders */
  } else if (!problem && !gh_path_stays_inside(member->name)) {
    problem = "a name outside its folder";
  }
  if (!problem && is_hidden(member->name)) return GH_OK; /* as in folders: macOS puts "._a.jpg" beside "a.jpg" */
  if (problem) return gh_index_skip(err, index, member->name, problem);
  return picture ? add_picture(err, list, member, key) : add_other(err, index, member, key);
}

static gh_status open_shard(gh_error *err, const char *path, int *fd, struct stat *facts) {
  *fd = open(path, O_RDONLY | O_CLOEXEC);
  if (*fd < 0) return gh_fail_absent(err, path, errno);
  if (!fstat(*fd, facts) && S_ISREG(facts->st_mode)) return GH_OK;
  close(*fd);
  return gh_fail(err, GH_ERROR_FILE, "%s: not a regular file", path);
}

/* Reads the first bytes, at most `room` of them. */
static gh_status read_start(gh_error *err, const char *path, int fd, char *start, size_t room, size_t *got) {
  ssize_t count = pread(fd, start, room, 0);
  if (count < 0) return gh_fail(err, GH_ERROR_FILE, "%s: reading failed: %s", path, strerror(errno));
  *got = (size_t)count;
  return GH_OK;
}

static gh_status refuse_compressed(gh_error *err, const char *path, const char *start, size_t size) {
  const char *compression = gh_tar_compression(start, size);
  if (!compression) return GH_OK;
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "%s: compressed with %s; training reads images in any order, so decompress it first", path,
                 compression);
}

/* Notes a shard that is not the file itself, such as a git-lfs pointer; the other shards are still used. Zeros are an
 * archive's end mark. */
static gh_status note_incomplete(gh_error *err, gh_index *index, const char *path, const char *start, size_t size,
                                 bool *unusable) {
  gh_error why = {0};
  *unusable = (!size || start[0]) && gh_refuse_incomplete(&why, path, start, size);
  const size_t place = strlen(path) + strlen(": ");
  return *unusable ? gh_index_skip(err, index, NULL, strlen(why.text) > place ? why.text + place : why.text) : GH_OK;
}

/* *members: of any kind. */
static gh_status walk_shard(gh_error *err, listing *list, const char *path, int fd, uint64_t bytes, uint64_t *members) {
  gh_index *index = list->index;
  gh_tar_end end;
  const gh_tar_input input = {.fd = fd, .size = bytes};
  char start[GH_INCOMPLETE_LOOKED_AT];
  size_t got = 0;
  bool unusable = false;
  gh_status status = read_start(err, path, fd, start, sizeof start, &got);
  if (!status) status = note_incomplete(err, index, path, start, got, &unusable);
  if (status || unusable) return status;
  status = refuse_compressed(err, path, start, got);
  if (status) return status;
  status = gh_tar_walk(err, &input, add_member, list, &end);
  if (status == GH_ERROR_FILE) gh_fail_in(err, "%s", path);
  gh_error unused = {0};
  gh_status last = end_sample(status ? &unused : err, list);
  if (status || last) return status ? status : last;
  *members = end.members;
  if (end.broken[0]) {
    char why[GH_ERROR_TEXT_SIZE];
    snprintf(why, sizeof why, "broken at byte %llu of %llu (%s); only images before that are used",
             (unsigned long long)end.offset, (unsigned long long)bytes, end.broken);
    status = gh_index_skip(err, index, NULL, why);
  }
  return status ? status : gh_index_sort(err, index);
}

/* ---- cached for the next run ---- */

/* Walking a cold shard costs about as much as reading all of it, because of the system's readahead. A shard with at
 * least this many members is cached in the user's cache folder, at about 30 bytes per image. */
enum { MEMBERS_WORTH_KEEPING = 1000 };

typedef struct kept_head {
  uint64_t version, bytes;
  int64_t modified, modified_ns, changed, changed_ns;
  uint64_t keys; /* a hash */
} kept_head;

static kept_head head_of(const struct stat *facts, const gh_strings *keys) {
  uint64_t hash = 0;
  for (size_t i = 0; keys && i < keys->count; i++) hash = XXH64(keys->items[i], strlen(keys->items[i]) + 1, hash + 1);
  return (kept_head){.version = 4, /* before 3, a shard that could not be read was kept as a broken one; before 4, all
                                      pictures of a sample counted */
                     .keys = hash,
                     .bytes = (uint64_t)facts->st_size,
                     .modified = facts->st_mtim.tv_sec,
                     .modified_ns = facts->st_mtim.tv_nsec,
                     .changed = facts->st_ctim.tv_sec,
                     .changed_ns = facts->st_ctim.tv_nsec};
}

/* The entry's name, from the shard's canonical path, since a shard may be reached by several paths. */
static bool kept_name(char key[GH_CACHE_KEY_SIZE], const char *path) {
  char *real = realpath(path, NULL);
  if (real) gh_cache_key(key, (const char *const[]){"shard", real, NULL});
  free(real);
  return real != NULL;
}

static bool load_kept(const listing *list, const char *path, const struct stat *facts) {
  char key[GH_CACHE_KEY_SIZE], *bytes = NULL;
  size_t size = 0;
  const kept_head want = head_of(facts, list->keys);
  bool good = kept_name(key, path) && gh_cache_load(key, &bytes, &size) && size >= sizeof want &&
              memcmp(bytes, &want, sizeof want) == 0 &&
              gh_index_unpack(list->index, bytes + sizeof want, size - sizeof want, want.bytes);
  free(bytes);
  return good;
}

static gh_status keep(gh_error *err, const listing *list, const char *path, const struct stat *facts) {
  char key[GH_CACHE_KEY_SIZE], *packed = NULL, *bytes = NULL;
  size_t size = 0;
  const kept_head head = head_of(facts, list->keys);
  gh_status status = gh_index_pack(err, list->index, &packed, &size);
  if (!status && !(bytes = gh_alloc(err, sizeof head + size, 1))) status = GH_ERROR_MEMORY;
  if (!status && kept_name(key, path)) {
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, packed, size);
    gh_cache_store(key, bytes, sizeof head + size);
  }
  free(packed);
  free(bytes);
  return status;
}

/* ---- all of them ---- */

/* Fills an empty index. Nothing is kept where the walk failed. */
static gh_status index_once(gh_error *err, listing *list, const char *path, uint64_t *bytes) {
  int fd;
  struct stat facts;
  uint64_t members = 0;
  gh_status status = open_shard(err, path, &fd, &facts);
  if (status) return status;
  *bytes = (uint64_t)facts.st_size;
  if (!load_kept(list, path, &facts)) {
    status = walk_shard(err, list, path, fd, *bytes, &members);
    if (!status && members >= MEMBERS_WORTH_KEEPING) status = keep(err, list, path, &facts);
  }
  close(fd);
  return status;
}

static gh_status index_shard(gh_error *err, gh_index *index, const char *path, const gh_strings *keys,
                             uint64_t *bytes) {
  gh_index part = {0};
  gh_retry retry = {0};
  listing list = {.index = &part, .keys = keys};
  gh_status status = index_once(err, &list, path, bytes);
  while (status && gh_retry_wait(&retry, err)) {
    gh_index_free(&part);
    status = index_once(err, &list, path, bytes);
  }
  if (!status) status = gh_index_append(err, index, &part, path);
  gh_index_free(&part);
  return status;
}

static gh_status no_image(gh_error *err, const gh_index *index, const char *pattern, const gh_strings *keys) {
  char reasons[400], wanted[200] = "jpg, jpeg, png";
  for (size_t i = 0, used = 0; keys && i < keys->count && used < sizeof wanted; i++)
    used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%s%s", used ? ", " : "", keys->items[i]);
  gh_index_reasons(reasons, sizeof reasons, index, false);
  return gh_fail(err, GH_ERROR_FILE, "%s: no image by its key (%s; data.keys or --keys chooses others) in it%s%s",
                 pattern, wanted, index->notes.count || reasons[0] ? "; " : "",
                 index->notes.count ? index->notes.items[0] : reasons);
}

gh_status gh_shards_index(gh_error *err, gh_shards *out, gh_index *index, const char *pattern, const gh_strings *keys) {
  *out = (gh_shards){0};
  gh_status status = find_shards(err, out, pattern);
  if (status) return status;
  out->bytes = gh_alloc(err, out->paths.count, sizeof *out->bytes);
  out->starts = gh_alloc(err, out->paths.count + 1, sizeof *out->starts);
  if (!out->bytes || !out->starts) return GH_ERROR_MEMORY;
  gh_progress progress;
  gh_progress_start(&progress, "listing images", "shards", out->paths.count, 0);
  for (size_t i = 0; i < out->paths.count && !status; i++) {
    status = index_shard(err, index, out->paths.items[i], keys, &out->bytes[i]);
    out->starts[i + 1] = index->count;
    gh_progress_update(&progress, i + 1, NULL);
    if (!status && gh_stop_requested())
      status = gh_fail(err, GH_ERROR_INTERRUPTED, "stopped while listing %s", pattern);
  }
  if (progress.shown > progress.started) gh_progress_end(&progress); /* silent if it was short */
  return !status && !index->count ? no_image(err, index, pattern, keys) : status;
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
  struct stat now;
  int fd;
  *bytes = NULL;
  *size = at->bytes;
  gh_status status = open_shard(err, path, &fd, &now);
  if (status) return status;
  if ((uint64_t)now.st_size != shards->bytes[shard]) {
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
      status = gh_fail(err, GH_ERROR_FILE, "%s/%s: cannot be read: %s", path, gh_index_name(index, entry),
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
