#include "base/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"

#define SEAL  "xxh64"
#define LIST  "checksums.json"
#define PIECE ((size_t)1 << 20)

void gh_checksum_text(char text[GH_CHECKSUM_TEXT], uint64_t hash) {
  snprintf(text, GH_CHECKSUM_TEXT, "%016" PRIx64, hash);
}

/* ---- JSON ---- */

/* Tools rewrite these when they save a model again. */
static const char *const origins[] = {"base_model_name_or_path", "_name_or_path", "transformers_version"};

static bool counts(const char *key) {
  for (size_t i = 0; i < GH_COUNT(origins); i++)
    if (!strcmp(key, origins[i])) return false;
  return strcmp(key, SEAL) != 0;
}

gh_status gh_json_hash(gh_error *err, const gh_json *object, uint64_t *hash) {
  uint64_t h = 0;
  for (const gh_json *item = gh_json_first(object); item; item = gh_json_next(item)) {
    const char *key = gh_json_key(item);
    char *text = NULL;
    size_t size = 0;
    if (key && !counts(key)) continue;
    gh_status status = gh_json_print(err, &text, &size, item, false);
    if (status) return status;
    if (key) h = XXH64(key, strlen(key), h);
    h = XXH64(text, size, h);
    free(text);
  }
  *hash = h;
  return GH_OK;
}

gh_status gh_json_seal(gh_error *err, gh_json *object) {
  uint64_t hash;
  char text[GH_CHECKSUM_TEXT];
  gh_status status = gh_json_hash(err, object, &hash);
  if (status) return status;
  gh_checksum_text(text, hash);
  return gh_json_put_string(err, object, SEAL, text);
}

static gh_status damaged(gh_error *err, const char *path, const char *stated, const char *found) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: damaged: its checksum is %s, not %s as when it was written", path, found,
                 stated);
}

gh_status gh_json_check_seal(gh_error *err, const char *path, const gh_json *object) {
  uint64_t hash;
  char text[GH_CHECKSUM_TEXT];
  const char *stated = NULL;
  if (!gh_json_member(object, SEAL)) return GH_OK;
  gh_status status = gh_json_get_string(err, object, SEAL, &stated);
  if (status) return gh_fail_in(err, "%s", path);
  if ((status = gh_json_hash(err, object, &hash))) return status;
  gh_checksum_text(text, hash);
  return strcmp(stated, text) ? damaged(err, path, stated, text) : GH_OK;
}

gh_status gh_json_write_sealed(gh_error *err, const char *path, gh_json *object) {
  gh_status status = gh_json_seal(err, object);
  return status ? status : gh_json_write_file(err, path, object);
}

gh_status gh_json_read_sealed(gh_error *err, gh_json **out, const char *path) {
  *out = NULL;
  gh_status status = gh_file_check_regular(err, path);
  if (!status) status = gh_json_read_file(err, out, path, GH_JSON_MAX_BYTES);
  if (!status) status = gh_json_check_seal(err, path, *out);
  if (status) {
    gh_json_free(*out);
    *out = NULL;
  }
  return status;
}

/* ---- files ---- */

static gh_status hash_bytes(gh_error *err, const char *path, int fd, uint64_t *hash, uint64_t *bytes) {
  XXH64_state_t *state = XXH64_createState();
  char *piece = state ? gh_alloc(err, PIECE, 1) : NULL;
  gh_status status = piece ? GH_OK : gh_fail(err, GH_ERROR_MEMORY, "out of memory for a checksum");
  if (!status) XXH64_reset(state, 0);
  *bytes = 0;
  while (!status) {
    ssize_t got = read(fd, piece, PIECE);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = gh_fail(err, GH_ERROR_FILE, "%s: reading failed: %s", path, strerror(errno));
    if (got <= 0) break;
    XXH64_update(state, piece, (size_t)got);
    *bytes += (uint64_t)got;
  }
  if (!status) *hash = XXH64_digest(state);
  free(piece);
  XXH64_freeState(state);
  return status;
}

static gh_status hash_json(gh_error *err, const char *path, uint64_t *hash, uint64_t *bytes) {
  gh_json *root = NULL;
  gh_status status = gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES);
  if (!status) status = gh_json_hash(err, root, hash);
  gh_json_free(root);
  *bytes = 0; /* the same content may be laid out in another way */
  return status;
}

gh_status gh_file_hash(gh_error *err, const char *path, uint64_t *hash, uint64_t *bytes) {
  gh_status status = gh_file_check_regular(err, path);
  if (status) return status;
  if (gh_ends_with(path, ".json")) return hash_json(err, path, hash, bytes);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  status = hash_bytes(err, path, fd, hash, bytes);
  close(fd);
  return status;
}

/* ---- the list of a folder ---- */

static gh_status put_file(gh_error *err, gh_json *files, const char *folder, const char *name) {
  uint64_t hash = 0, bytes = 0;
  char text[GH_CHECKSUM_TEXT], *path = gh_path_join(err, folder, name);
  gh_status status = path ? gh_file_hash(err, path, &hash, &bytes) : GH_ERROR_MEMORY;
  gh_json *row = status ? NULL : gh_json_put_object(err, files, name);
  if (!status && !row) status = err->status;
  gh_checksum_text(text, hash);
  if (!status && bytes) status = gh_json_put_int(err, row, "bytes", (int64_t)bytes);
  if (!status) status = gh_json_put_string(err, row, SEAL, text);
  free(path);
  return status;
}

gh_status gh_checksums_write(gh_error *err, const char *folder) {
  gh_strings names = {0};
  char *path = gh_path_join(err, folder, LIST);
  gh_json *root = gh_json_object(err), *files = NULL;
  gh_status status = path && root ? gh_folder_list(err, &names, folder, false) : GH_ERROR_MEMORY;
  if (!status) status = (files = gh_json_put_object(err, root, "files")) ? GH_OK : err->status;
  for (size_t i = 0; i < names.count && !status; i++)
    if (strcmp(names.items[i], LIST)) status = put_file(err, files, folder, names.items[i]);
  if (!status) status = gh_json_write_sealed(err, path, root);
  gh_strings_free(&names);
  gh_json_free(root);
  free(path);
  return status;
}

static gh_status compare(gh_error *err, const char *path, const gh_json *row) {
  uint64_t hash = 0, bytes = 0;
  int64_t stated_bytes = -1;
  const char *stated = NULL;
  char text[GH_CHECKSUM_TEXT];
  gh_status status = gh_json_get_string(err, row, SEAL, &stated);
  if (!status) status = gh_json_opt_int(err, row, "bytes", &stated_bytes);
  if (status) return gh_fail_in(err, "%s: " LIST, path);
  if ((status = gh_file_hash(err, path, &hash, &bytes))) return status;
  if (stated_bytes >= 0 && (uint64_t)stated_bytes != bytes)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: damaged: it has %llu bytes, not %lld as when it was written", path,
                   (unsigned long long)bytes, (long long)stated_bytes);
  gh_checksum_text(text, hash);
  return strcmp(stated, text) ? damaged(err, path, stated, text) : GH_OK;
}

/* A command opens some models more than once; the large ones are hashed once. */
static bool known_intact(const char *path, bool remember) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct stat intact[8];
  static size_t next;
  struct stat now;
  bool known = false;
  if (stat(path, &now)) return false;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < GH_COUNT(intact); i++)
    known |= intact[i].st_ino == now.st_ino && intact[i].st_dev == now.st_dev && intact[i].st_size == now.st_size &&
             intact[i].st_mtim.tv_sec == now.st_mtim.tv_sec && intact[i].st_mtim.tv_nsec == now.st_mtim.tv_nsec;
  if (!known && remember) intact[next++ % GH_COUNT(intact)] = now;
  pthread_mutex_unlock(&lock);
  return known;
}

gh_status gh_checksums_check(gh_error *err, const char *path) {
  gh_json *root = NULL;
  char *folder = gh_path_folder(err, path), *list = folder ? gh_path_join(err, folder, LIST) : NULL;
  gh_status status = list ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(list)) status = gh_json_read_sealed(err, &root, list);
  if (!status && root && !gh_json_member(root, SEAL))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: damaged: it has no checksum of its own", list);
  const gh_json *row = gh_json_member(gh_json_member(root, "files"), gh_path_name(path));
  if (!status && row && !known_intact(path, false)) {
    status = compare(err, path, row);
    if (!status) known_intact(path, true);
  }
  gh_json_free(root);
  free(folder);
  free(list);
  return status;
}
