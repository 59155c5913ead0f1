#include "base/cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/log.h"

#define MAX_ENTRY_BYTES ((size_t)512 << 20)

typedef struct entry_header {
  char magic[8];
  uint64_t bytes, checksum; /* of the payload that follows */
} entry_header;

static const char magic[8] = "GHCACHE1";

/* ---- the folder ---- */

static char *folder_name(void) {
  const char *own = getenv("GH_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  gh_error err;
  if (own && *own) return gh_strdup(&err, own);
  if (xdg && xdg[0] == '/') return gh_path_join(&err, xdg, "genhance"); /* XDG ignores relative paths */
  if (home && *home) return gh_path_join(&err, home, ".cache/genhance");
  return NULL;
}

/* One warning per folder, not one per program. */
static void warn_once(const char *folder, const char *why) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static char warned[512];
  pthread_mutex_lock(&lock);
  bool again = !strncmp(warned, folder, sizeof warned - 1);
  snprintf(warned, sizeof warned, "%s", folder);
  pthread_mutex_unlock(&lock);
  if (!again) gh_warn("cache folder %s is not used: %s", folder, why);
}

static bool make_folder(const char *folder) {
  gh_error err = {0};
  char *parent = gh_path_folder(&err, folder);
  gh_status status = parent ? gh_folder_make(&err, parent) : GH_ERROR_MEMORY;
  free(parent);
  if (!status && (!mkdir(folder, 0700) || errno == EEXIST)) return true;
  warn_once(folder, status ? err.text : strerror(errno));
  return false;
}

/* Whether anyone may put another folder in the place of one above this: all may write there, and the folder is not as
 * /tmp is, where only owners move what is theirs. */
static bool is_exposed(const char *folder) {
  char *path = realpath(folder, NULL);
  bool exposed = false;
  struct stat info;
  for (char *slash; path && !exposed && (slash = strrchr(path, '/')) && slash[1];) {
    slash[slash == path] = 0;
    exposed = !stat(path, &info) && (info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX);
  }
  free(path);
  return exposed;
}

static bool is_ours_alone(const char *folder) {
  struct stat info;
  const char *why = NULL;
  if (stat(folder, &info))
    why = strerror(errno);
  else if (!S_ISDIR(info.st_mode))
    why = "it is not a folder";
  else if (info.st_uid != geteuid())
    why = "it belongs to another user";
  else if (info.st_mode & (S_IWGRP | S_IWOTH))
    why = "others may write to it (chmod 700)";
  else if (is_exposed(folder))
    why = "everyone may write to a folder above it";
  else if (access(folder, W_OK | X_OK))
    why = strerror(errno);
  if (why) warn_once(folder, why);
  return !why;
}

bool gh_cache_is_private(const char *folder) { return make_folder(folder) && is_ours_alone(folder); }

char *gh_cache_folder(void) {
  char *folder = folder_name();
  if (!folder) return NULL;
  if (gh_cache_is_private(folder)) return folder;
  free(folder);
  return NULL;
}

bool gh_cache_exists(void) {
  char *folder = folder_name();
  const bool exists = folder && gh_path_is_folder(folder);
  free(folder);
  return exists;
}

static char *entry_path(const char *name) {
  gh_error err;
  char *folder = gh_cache_folder();
  char *path = folder ? gh_path_join(&err, folder, name) : NULL;
  free(folder);
  return path;
}

/* ---- entries ---- */

bool gh_cache_load(const char *name, char **bytes, size_t *size) {
  *bytes = NULL;
  *size = 0;
  char *path = entry_path(name), *file = NULL;
  size_t file_size = 0;
  gh_error err;
  bool good = false;
  if (!path || !gh_path_is_file(path)) goto done;
  entry_header header = {0};
  if (!gh_file_read(&err, path, MAX_ENTRY_BYTES, &file, &file_size) && file_size >= sizeof header) {
    memcpy(&header, file, sizeof header);
    size_t payload = file_size - sizeof header;
    good = !memcmp(header.magic, magic, sizeof magic) && header.bytes == payload &&
           header.checksum == XXH3_64bits(file + sizeof header, payload);
  }
  if (!good) {
    gh_debug("cache entry %s is broken and will be rebuilt", path);
    gh_file_remove(&err, path);
    goto done;
  }
  *size = file_size - sizeof header;
  memmove(file, file + sizeof header, *size);
  file[*size] = 0;
  *bytes = file;
  file = NULL;
done:
  free(file);
  free(path);
  return good;
}

void gh_cache_store(const char *name, const void *bytes, size_t size) {
  char *path = entry_path(name);
  if (!path) return;
  gh_error err = {0};
  entry_header header = {.bytes = size, .checksum = XXH3_64bits(bytes, size)};
  memcpy(header.magic, magic, sizeof magic);
  gh_file_writer *writer = NULL;
  gh_status status = gh_file_writer_open(&err, &writer, path);
  if (!status) status = gh_file_writer_write(&err, writer, &header, sizeof header);
  if (!status) status = gh_file_writer_write(&err, writer, bytes, size);
  if (!status) status = gh_file_writer_commit(&err, writer);
  if (status) gh_debug("cache entry not stored: %s", err.text);
  gh_file_writer_free(writer);
  free(path);
}

void gh_cache_remove(const char *name) {
  char *path = entry_path(name);
  gh_error err;
  if (path) gh_file_remove(&err, path);
  free(path);
}

/* ---- keys ---- */

void gh_cache_key(char key[GH_CACHE_KEY_SIZE], const char *const *parts) {
  XXH3_state_t *state = XXH3_createState();
  XXH128_hash_t hash = {0, 0};
  if (state) {
    XXH3_128bits_reset(state);
    for (; *parts; parts++) XXH3_128bits_update(state, *parts, strlen(*parts) + 1); /* zero included: "a","b" != "ab" */
    hash = XXH3_128bits_digest(state);
  }
  XXH3_freeState(state);
  snprintf(key, GH_CACHE_KEY_SIZE, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

static char cpu_flags[8192];

static void read_cpu_flags(void) {
  FILE *file = fopen("/proc/cpuinfo", "re");
  static char line[8192];
  size_t used = 0;
  while (file && fgets(line, sizeof line, file) && line[0] != '\n') { /* the first processor's lines */
    bool wanted = gh_starts_with(line, "flags") || gh_starts_with(line, "Features") ||
                  gh_starts_with(line, "model name") || gh_starts_with(line, "CPU part");
    size_t size = strlen(line);
    if (!wanted || used + size >= sizeof cpu_flags) continue;
    memcpy(cpu_flags + used, line, size + 1);
    used += size;
  }
  if (file) fclose(file);
  if (!used) snprintf(cpu_flags, sizeof cpu_flags, "unknown");
}

const char *gh_cache_cpu_flags(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT; /* each device may have its own thread */
  pthread_once(&once, read_cpu_flags);
  return cpu_flags;
}
