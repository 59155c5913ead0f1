/* Files in memory for the targets: fuzz.cmake makes the linker replace the calls below (--wrap), and paths below
 * "/fuzz" are found here. The parsers stay as they are, and a file costs no system call. What a parser maps lies in a
 * block of its exact size, so that a sanitizer detects a read past its end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"

#define ROOT "/fuzz"

enum { FILES = 64, PATH_BYTES = 256, FIRST_FD = 1 << 20, OPEN = 64 };

typedef struct memory_file {
  char path[PATH_BYTES]; /* "" for a free row, and for a removed file that is still open */
  size_t length;         /* of path: libFuzzer watches comparisons, which makes them slow */
  uint8_t *bytes;
  size_t size, capacity;
  int opened;
  bool folder;
} memory_file;

static memory_file files[FILES];
static struct {
  memory_file *file; /* NULL: closed */
  size_t at;
} opened[OPEN];
static struct { void *bytes; } maps[OPEN];
typedef struct memory_folder {
  int fd, at; /* fd -1: free */
  struct dirent entry;
} memory_folder;
static memory_folder folders[OPEN];

void fuzz_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  abort();
}

/* ---- the table ---- */

static bool is_ours(const char *path) {
  return path[0] == '/' && path[1] == 'f' && path[2] == 'u' && path[3] == 'z' && path[4] == 'z' &&
         (path[5] == '/' || !path[5]);
}

/* Whether the file is the path of that length, or lies below it. */
static bool is_at(const memory_file *f, const char *path, size_t length) {
  return f->length == length && f->path[length - 1] == path[length - 1] && !memcmp(f->path, path, length);
}
static bool is_below(const memory_file *f, const char *path, size_t length) {
  return f->length > length && f->path[length] == '/' && f->path[length - 1] == path[length - 1] &&
         !memcmp(f->path, path, length);
}

static memory_file *find(const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  for (int i = 0; i < FILES; i++)
    if (is_at(&files[i], path, length)) return &files[i];
  return NULL;
}

static void set_path(memory_file *f, const char *path) {
  f->length = strlen(path);
  memcpy(f->path, path, f->length + 1);
}

static memory_file *add(const char *path, bool folder) {
  memory_file *f = NULL;
  for (int i = 0; i < FILES && !f; i++)
    if (!files[i].path[0] && !files[i].opened) f = &files[i];
  FUZZ_CHECK(f);
  if (strlen(path) >= sizeof f->path) {
    errno = ENAMETOOLONG;
    return NULL;
  }
  set_path(f, path);
  f->size = 0;
  f->folder = folder;
  return f;
}

static void release(memory_file *f) {
  if (f->path[0] || f->opened) return;
  free(f->bytes);
  *f = (memory_file){0};
}

static void forget(memory_file *f) {
  set_path(f, "");
  release(f);
}

static void grow(memory_file *f, size_t size) {
  if (size <= f->capacity) return;
  f->capacity = 2 * size;
  f->bytes = realloc(f->bytes, f->capacity);
  FUZZ_CHECK(f->bytes);
}

/* Folders exist if they were made or if a file lies below them. */
static bool has_folder(const char *path) {
  const size_t length = strlen(path);
  const memory_file *f = find(path);
  if (f) return f->folder;
  for (int i = 0; i < FILES; i++)
    if (is_below(&files[i], path, length)) return true;
  return !strcmp(path, ROOT);
}

static memory_file *by_fd(int fd) { return fd >= FIRST_FD && fd < FIRST_FD + OPEN ? opened[fd - FIRST_FD].file : NULL; }

static int lack(int code) {
  errno = code;
  return -1;
}

/* ---- for the targets ---- */

__attribute__((constructor)) static void set_up(void) {
  for (int i = 0; i < OPEN; i++) folders[i].fd = -1;
  setenv("GH_CACHE_DIR", ROOT "/cache", 1);
  gh_log_set_level(GH_LOG_QUIET);
}

const char *fuzz_folder(void) { return ROOT; }

const char *fuzz_file(const char *name, const void *bytes, size_t size) {
  static char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/%s", ROOT, name);
  memory_file *f = find(path);
  if (!f) f = add(path, false);
  FUZZ_CHECK(f);
  grow(f, size + 1);
  memcpy(f->bytes, bytes, size);
  f->size = size;
  return path;
}

const uint8_t *fuzz_content(const char *name, size_t *size) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/%s", ROOT, name);
  const memory_file *f = find(path);
  *size = f ? f->size : 0;
  return !f ? NULL : f->bytes ? f->bytes : (const uint8_t *)"";
}

void fuzz_clear(void) {
  for (int i = 0; i < OPEN; i++) FUZZ_CHECK(!opened[i].file && !maps[i].bytes && folders[i].fd < 0); /* a leak */
  for (int i = 0; i < FILES; i++) forget(&files[i]);
}

/* ---- in place of the system's calls ---- */

#define WRAP(type, name, ...)                                                                                          \
  type __real_##name(__VA_ARGS__);                                                                                     \
  type __wrap_##name(__VA_ARGS__);                                                                                     \
  type __wrap_##name(__VA_ARGS__)

static int open_ours(const char *path, int flags) {
  memory_file *f = find(path);
  int at = 0;
  if (f && (flags & O_CREAT) && (flags & O_EXCL)) return lack(EEXIST);
  if (!f && has_folder(path)) f = add(path, true); /* so that it has a row */
  if (!f && !(flags & O_CREAT)) return lack(ENOENT);
  if (!f && !(f = add(path, false))) return -1;
  if (!f->folder && (flags & O_DIRECTORY)) return lack(ENOTDIR);
  while (at < OPEN && opened[at].file) at++;
  FUZZ_CHECK(at < OPEN);
  opened[at].file = f;
  opened[at].at = 0;
  f->opened++;
  if (flags & O_TRUNC) f->size = 0;
  if (flags & O_APPEND) opened[at].at = f->size;
  return FIRST_FD + at;
}

static mode_t mode_of(int flags, va_list list) { return flags & O_CREAT ? va_arg(list, mode_t) : 0; }

WRAP(int, open, const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return is_ours(path) ? open_ours(path, flags) : __real_open(path, flags, mode);
}

WRAP(int, openat, int folder, const char *name, int flags, ...) {
  va_list list;
  char path[2 * PATH_BYTES];
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  if (folder == AT_FDCWD && is_ours(name)) return open_ours(name, flags);
  if (!by_fd(folder)) return __real_openat(folder, name, flags, mode);
  snprintf(path, sizeof path, "%s/%.255s", by_fd(folder)->path, name);
  return open_ours(path, flags);
}

WRAP(int, close, int fd) {
  memory_file *f = by_fd(fd);
  if (!f) return __real_close(fd);
  opened[fd - FIRST_FD].file = NULL;
  f->opened--;
  release(f);
  return 0;
}

static ssize_t read_at(const memory_file *f, void *to, size_t size, size_t at) {
  if (f->folder) return lack(EISDIR);
  const size_t n = at >= f->size ? 0 : f->size - at < size ? f->size - at : size;
  if (n) memcpy(to, f->bytes + at, n);
  return (ssize_t)n;
}

WRAP(ssize_t, read, int fd, void *to, size_t size) {
  if (!by_fd(fd)) return __real_read(fd, to, size);
  const ssize_t n = read_at(by_fd(fd), to, size, opened[fd - FIRST_FD].at);
  if (n > 0) opened[fd - FIRST_FD].at += (size_t)n;
  return n;
}

WRAP(ssize_t, pread, int fd, void *to, size_t size, off_t at) {
  return by_fd(fd) ? read_at(by_fd(fd), to, size, (size_t)at) : __real_pread(fd, to, size, at);
}

WRAP(ssize_t, write, int fd, const void *from, size_t size) {
  memory_file *f = by_fd(fd);
  if (!f) return __real_write(fd, from, size);
  size_t *at = &opened[fd - FIRST_FD].at;
  grow(f, *at + size + 1);
  memcpy(f->bytes + *at, from, size);
  *at += size;
  f->size = f->size > *at ? f->size : *at;
  return (ssize_t)size;
}

WRAP(int, fsync, int fd) { return by_fd(fd) ? 0 : __real_fsync(fd); }
WRAP(int, flock, int fd, int how) { return by_fd(fd) ? 0 : __real_flock(fd, how); }

static void describe(const memory_file *f, struct stat *out) {
  *out = (struct stat){.st_mode = f && !f->folder ? S_IFREG | 0600 : S_IFDIR | 0700,
                       .st_uid = geteuid(),
                       .st_nlink = !f || f->path[0],
                       .st_ino = f ? (ino_t)(f - files) + 2 : 1,
                       .st_size = f ? (off_t)f->size : 0};
}

static int stat_ours(const char *path, struct stat *out) {
  const memory_file *f = find(path);
  if (!f && !has_folder(path)) return lack(ENOENT);
  describe(f, out);
  return 0;
}

WRAP(int, stat, const char *path, struct stat *out) {
  return is_ours(path) ? stat_ours(path, out) : __real_stat(path, out);
}
WRAP(int, lstat, const char *path, struct stat *out) {
  return is_ours(path) ? stat_ours(path, out) : __real_lstat(path, out);
}
WRAP(int, fstat, int fd, struct stat *out) {
  if (!by_fd(fd)) return __real_fstat(fd, out);
  describe(by_fd(fd), out);
  return 0;
}
WRAP(int, fstatat, int folder, const char *name, struct stat *out, int flags) {
  char path[2 * PATH_BYTES];
  if (!by_fd(folder)) return __real_fstatat(folder, name, out, flags);
  snprintf(path, sizeof path, "%s/%.255s", by_fd(folder)->path, name);
  return stat_ours(path, out);
}
WRAP(int, access, const char *path, int how) {
  struct stat facts;
  return is_ours(path) ? stat_ours(path, &facts) : __real_access(path, how);
}

static int unlink_ours(const char *path) {
  memory_file *f = find(path);
  if (!f) return lack(ENOENT);
  forget(f);
  return 0;
}
WRAP(int, unlink, const char *path) { return is_ours(path) ? unlink_ours(path) : __real_unlink(path); }
WRAP(int, unlinkat, int folder, const char *name, int flags) {
  char path[2 * PATH_BYTES];
  if (!by_fd(folder)) return __real_unlinkat(folder, name, flags);
  snprintf(path, sizeof path, "%s/%.255s", by_fd(folder)->path, name);
  return unlink_ours(path);
}
WRAP(int, rmdir, const char *path) { return is_ours(path) ? unlink_ours(path) : __real_rmdir(path); }

WRAP(int, rename, const char *from, const char *to) {
  memory_file *f = find(from), *old = find(to);
  if (!is_ours(from)) return __real_rename(from, to);
  if (!f) return lack(ENOENT);
  if (old && old != f) forget(old);
  if (strlen(to) >= sizeof f->path) return lack(ENAMETOOLONG);
  set_path(f, to);
  return 0;
}

WRAP(int, mkdir, const char *path, mode_t mode) {
  if (!is_ours(path)) return __real_mkdir(path, mode);
  if (find(path) || has_folder(path)) return lack(EEXIST);
  return add(path, true) ? 0 : -1;
}

/* Removes a folder with all that is below it, whatever the callback: gh_folder_remove is the only caller. */
WRAP(int, nftw, const char *path, __nftw_func_t visit, int depth, int flags) {
  const size_t length = strlen(path);
  if (!is_ours(path)) return __real_nftw(path, visit, depth, flags);
  for (int i = 0; i < FILES; i++)
    if (is_at(&files[i], path, length) || is_below(&files[i], path, length)) forget(&files[i]);
  return 0;
}

/* ---- mappings ---- */

WRAP(void *, mmap, void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  const memory_file *f = by_fd(fd);
  int at = 0;
  if (!f) return __real_mmap(address, size, protection, flags, fd, offset);
  if (!size) return lack(EINVAL), MAP_FAILED;
  FUZZ_CHECK(!offset && size == f->size);
  while (at < OPEN && maps[at].bytes) at++;
  FUZZ_CHECK(at < OPEN && (maps[at].bytes = malloc(size)));
  return memcpy(maps[at].bytes, f->bytes, size);
}

WRAP(int, munmap, void *address, size_t size) {
  for (int i = 0; i < OPEN; i++)
    if (maps[i].bytes == address) {
      free(address);
      maps[i].bytes = NULL;
      return 0;
    }
  return __real_munmap(address, size);
}

WRAP(int, madvise, void *address, size_t size, int advice) {
  for (int i = 0; i < OPEN; i++)
    if (maps[i].bytes) return 0; /* our mappings lie in malloc's memory, which must keep its content */
  return __real_madvise(address, size, advice);
}

/* ---- folders ---- */

static bool is_folder(const DIR *folder) {
  return (const char *)folder >= (const char *)folders && (const char *)folder < (const char *)(folders + OPEN);
}

WRAP(DIR *, fdopendir, int fd) {
  int at = 0;
  if (!by_fd(fd)) return __real_fdopendir(fd);
  while (at < OPEN && folders[at].fd >= 0) at++;
  FUZZ_CHECK(at < OPEN);
  folders[at] = (memory_folder){.fd = fd};
  return (DIR *)&folders[at];
}

WRAP(DIR *, opendir, const char *path) {
  if (!is_ours(path)) return __real_opendir(path);
  const int fd = open_ours(path, O_DIRECTORY);
  return fd < 0 ? NULL : __wrap_fdopendir(fd);
}

/* The component directly below the folder, or NULL. */
static const char *child(const memory_file *f, const char *folder, size_t above, size_t *length) {
  if (!is_below(f, folder, above)) return NULL;
  *length = strcspn(f->path + above + 1, "/");
  return f->path + above + 1;
}

WRAP(struct dirent *, readdir, DIR *folder) {
  if (!is_folder(folder)) return __real_readdir(folder);
  memory_folder *f = (memory_folder *)folder;
  const memory_file *of = by_fd(f->fd);
  while (f->at < FILES) {
    size_t length = 0, other_length = 0;
    const memory_file *file = &files[f->at++];
    const char *name = child(file, of->path, of->length, &length), *other;
    bool seen = false;
    for (const memory_file *before = files; name && before < file; before++)
      seen |= (other = child(before, of->path, of->length, &other_length)) && other_length == length &&
              !memcmp(other, name, length);
    if (!name || seen || !length) continue;
    memcpy(f->entry.d_name, name, length);
    f->entry.d_name[length] = 0;
    f->entry.d_type = name[length] || file->folder ? DT_DIR : DT_REG;
    return &f->entry;
  }
  return NULL;
}

WRAP(int, dirfd, DIR *folder) { return is_folder(folder) ? ((memory_folder *)folder)->fd : __real_dirfd(folder); }

WRAP(int, closedir, DIR *folder) {
  if (!is_folder(folder)) return __real_closedir(folder);
  const int fd = ((memory_folder *)folder)->fd;
  ((memory_folder *)folder)->fd = -1;
  return __wrap_close(fd);
}
