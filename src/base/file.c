#include "base/file.h"
#include "base/incomplete.h"
#include "base/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long writes_left = 0; /* 0: never fail */

void gh_write_fail_after(long n) { atomic_store(&writes_left, n); }

static bool write_is_to_fail(void) {
  long left = atomic_load(&writes_left);
  return left > 0 && atomic_fetch_sub(&writes_left, 1) == 1;
}

static gh_status io_fail(gh_error *err, const char *path, const char *action, int code) {
  if (code == ENOSPC || code == EDQUOT)
    return gh_fail(err, GH_ERROR_FILE, "%s: no space left on the disk (%s failed: %s)", path, action, strerror(code));
  return gh_fail(err, GH_ERROR_FILE, "%s: %s failed: %s", path, action, strerror(code));
}

/* ---- paths ---- */

char *gh_path_join(gh_error *err, const char *folder, const char *name) {
  if (name[0] == '/' || !folder[0]) return gh_strdup(err, name);
  return gh_format(err, "%s%s%s", folder, gh_ends_with(folder, "/") ? "" : "/", name);
}

char *gh_path_folder(gh_error *err, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return gh_strdup(err, ".");
  return gh_format(err, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

const char *gh_path_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

bool gh_path_stays_inside(const char *name) {
  if (!name[0] || name[0] == '/' || strchr(name, '\\')) return false;
  for (const char *part = name; *part;) {
    size_t length = strcspn(part, "/");
    if (!length || (length == 1 && part[0] == '.') || (length == 2 && !memcmp(part, "..", 2))) return false;
    part += length;
    if (*part == '/' && !*++part) return false;
  }
  return true;
}

/* Returns 0 or an errno. */
static int look_at(const char *path, struct stat *facts) {
  gh_retry retry = {0};
  int code;
  do code = stat(path, facts) ? errno : 0;
  while (code && gh_retry_code(&retry, path, code));
  if (!code) gh_retry_passed();
  return code;
}

gh_status gh_path_look(gh_error *err, const char *path, gh_path_kind *out) {
  struct stat facts;
  const int code = look_at(path, &facts);
  *out = GH_PATH_ABSENT;
  if (code) return gh_code_means_absent(code) ? GH_OK : gh_fail_absent(err, path, code);
  *out = S_ISREG(facts.st_mode) ? GH_PATH_FILE : S_ISDIR(facts.st_mode) ? GH_PATH_FOLDER : GH_PATH_OTHER;
  return GH_OK;
}

static bool may_be(const char *path, gh_path_kind kind) {
  gh_error ignored;
  gh_path_kind is;
  return gh_path_look(&ignored, path, &is) || is == kind;
}

bool gh_path_exists(const char *path) {
  gh_error ignored;
  gh_path_kind is;
  return gh_path_look(&ignored, path, &is) || is != GH_PATH_ABSENT;
}

bool gh_path_is_file(const char *path) { return may_be(path, GH_PATH_FILE); }
bool gh_path_is_folder(const char *path) { return may_be(path, GH_PATH_FOLDER); }

/* ---- reading ---- */

gh_status gh_file_size(gh_error *err, const char *path, uint64_t *bytes) {
  struct stat facts;
  const int code = look_at(path, &facts);
  if (code) return gh_fail_absent(err, path, code);
  *bytes = (uint64_t)facts.st_size;
  return GH_OK;
}

gh_status gh_file_check_regular(gh_error *err, const char *path) {
  struct stat facts;
  const int code = look_at(path, &facts);
  if (code) return gh_fail_absent(err, path, code);
  return S_ISREG(facts.st_mode) ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "%s: not a regular file", path);
}

/* Reads until the end: the size of a pipe or of a file in /proc cannot be trusted. */
static gh_status read_all(gh_error *err, const char *path, int fd, size_t max_bytes, char **bytes, size_t *size) {
  struct stat facts;
  if (fstat(fd, &facts)) return io_fail(err, path, "reading", errno);
  if (S_ISDIR(facts.st_mode)) return gh_fail(err, GH_ERROR_FILE, "%s: is a folder, expected a file", path);
  size_t capacity = S_ISREG(facts.st_mode) && facts.st_size > 0 ? (size_t)facts.st_size + 1 : 4096, used = 0;
  capacity = GH_MIN(capacity, max_bytes + 1);
  char *buffer = gh_alloc(err, capacity + 1, 1);
  if (!buffer) return gh_fail_in(err, "%s", path);
  for (;;) {
    ssize_t got = read(fd, buffer + used, capacity - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      free(buffer);
      return io_fail(err, path, "reading", errno);
    }
    used += (size_t)got;
    if (!got) break;
    if (used > max_bytes) {
      free(buffer);
      return gh_fail(err, GH_ERROR_FORMAT, "%s: larger than the %zu bytes allowed", path, max_bytes);
    }
    if (used < capacity) continue;
    size_t larger = GH_MIN(2 * capacity, max_bytes + 1);
    char *moved = gh_alloc(err, larger + 1, 1);
    if (moved) memcpy(moved, buffer, used);
    free(buffer);
    if (!moved) return gh_fail_in(err, "%s", path);
    buffer = moved;
    capacity = larger;
  }
  buffer[used] = 0;
  *bytes = buffer;
  *size = used;
  return GH_OK;
}

gh_status gh_file_read(gh_error *err, const char *path, size_t max_bytes, char **bytes, size_t *size) {
  *bytes = NULL;
  if (size) *size = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return gh_fail_absent(err, path, errno);
  size_t used = 0;
  gh_status status = read_all(err, path, fd, GH_MIN(max_bytes, SIZE_MAX / 4), bytes, &used);
  close(fd);
  if (!status) status = gh_refuse_pointer(err, path, *bytes, used);
  if (status) {
    free(*bytes);
    *bytes = NULL;
  } else if (size) {
    *size = used;
  }
  return status;
}

/* ---- writing ---- */

struct gh_file_writer {
  char *path, *temporary; /* temporary is NULL when writing directly to path */
  int fd;
};

static gh_status write_all(gh_error *err, const char *path, int fd, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size) {
    ssize_t done = write_is_to_fail() ? (errno = ENOSPC, -1) : write(fd, at, GH_MIN(size, (size_t)1 << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return io_fail(err, path, "writing", errno);
    if (!done) return io_fail(err, path, "writing", ENOSPC);
    at += done;
    size -= (size_t)done;
  }
  return GH_OK;
}

/* A private file beside path, hidden so that no listing mistakes a half-written file for a finished one. */
static gh_status open_temporary(gh_error *err, gh_file_writer *writer) {
  static atomic_uint serial;
  char *folder = gh_path_folder(err, writer->path);
  if (!folder) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  gh_file_sweep(folder, gh_path_name(writer->path));
  for (int attempt = 0; attempt < 100 && writer->fd < 0; attempt++) {
    free(writer->temporary);
    writer->temporary = gh_format(err, "%s/.%s.%ld-%u.tmp", folder, gh_path_name(writer->path), (long)getpid(),
                                  atomic_fetch_add(&serial, 1u));
    if (!writer->temporary) {
      status = GH_ERROR_MEMORY;
      goto done;
    }
    writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0 && errno != EEXIST) break;
  }
  if (writer->fd < 0)
    status = io_fail(err, writer->path, "creating", errno);
  else
    flock(writer->fd, LOCK_EX | LOCK_NB); /* tells sweepers, also of other machines, that it is being written */
done:
  free(folder);
  return status;
}

gh_status gh_file_writer_open(gh_error *err, gh_file_writer **out, const char *path) {
  *out = NULL;
  gh_path_kind kind;
  if (gh_path_look(err, path, &kind)) return err->status;
  if (kind == GH_PATH_FOLDER) return gh_fail(err, GH_ERROR_FILE, "%s: is a folder, expected a file", path);
  gh_file_writer *writer = gh_alloc(err, 1, sizeof *writer);
  if (!writer) return GH_ERROR_MEMORY;
  writer->fd = -1;
  gh_status status = GH_ERROR_MEMORY;
  if (!(writer->path = gh_strdup(err, path))) goto fail;
  if (kind == GH_PATH_OTHER) { /* a pipe or a device is written directly: a rename would replace /dev/null by a file */
    writer->fd = open(path, O_WRONLY | O_CLOEXEC);
    status = writer->fd < 0 ? io_fail(err, path, "opening", errno) : GH_OK;
  } else {
    status = open_temporary(err, writer);
  }
  if (status) goto fail;
  *out = writer;
  return GH_OK;
fail:
  gh_file_writer_free(writer);
  return status;
}

gh_status gh_file_writer_write(gh_error *err, gh_file_writer *writer, const void *bytes, size_t size) {
  return write_all(err, writer->path, writer->fd, bytes, size);
}

gh_status gh_folder_sync(gh_error *err, const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  int failed = fsync(fd) && errno != EINVAL; /* some file systems have no fsync for folders */
  int code = errno;
  close(fd);
  if (failed) return gh_fail(err, GH_ERROR_FILE, "%s: fsync failed: %s", path, strerror(code));
  return GH_OK;
}

gh_status gh_file_writer_commit(gh_error *err, gh_file_writer *writer) {
  char *folder = gh_path_folder(err, writer->path); /* before the rename: no allocation may fail after it */
  if (!folder) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  bool stream = !writer->temporary;
  int synced = stream ? 0 : fsync(writer->fd);
  if (synced) status = io_fail(err, writer->path, "fsync", errno);
  int closed = close(writer->fd);
  writer->fd = -1;
  if (!status && closed) status = io_fail(err, writer->path, "closing", errno);
  if (!status && !stream && rename(writer->temporary, writer->path))
    status = io_fail(err, writer->path, "renaming", errno);
  if (!status && !stream) {
    free(writer->temporary);
    writer->temporary = NULL;
    status = gh_folder_sync(err, folder);
  }
  free(folder);
  return status;
}

void gh_file_writer_free(gh_file_writer *writer) {
  if (!writer) return;
  if (writer->fd >= 0) close(writer->fd);
  if (writer->temporary) unlink(writer->temporary);
  free(writer->temporary);
  free(writer->path);
  free(writer);
}

gh_status gh_file_write(gh_error *err, const char *path, const void *bytes, size_t size) {
  gh_file_writer *writer;
  gh_status status = gh_file_writer_open(err, &writer, path);
  if (!status) status = gh_file_writer_write(err, writer, bytes, size);
  if (!status) status = gh_file_writer_commit(err, writer);
  gh_file_writer_free(writer);
  return status;
}

gh_status gh_file_append(gh_error *err, const char *path, const void *bytes, size_t size) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return io_fail(err, path, "opening", errno);
  gh_status status = write_all(err, path, fd, bytes, size);
  if (close(fd) && !status) status = io_fail(err, path, "closing", errno);
  return status;
}

gh_status gh_file_sync(gh_error *err, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno == ENOENT ? GH_OK : io_fail(err, path, "opening", errno);
  gh_status status = fsync(fd) ? io_fail(err, path, "fsync", errno) : GH_OK;
  close(fd);
  return status;
}

gh_status gh_file_copy(gh_error *err, const char *from, const char *to, const char *name, bool required) {
  char *source = gh_path_join(err, from, name), *target = gh_path_join(err, to, name), *bytes = NULL;
  size_t size = 0;
  gh_status status = source && target ? GH_OK : GH_ERROR_MEMORY;
  bool skip = !required && source && !gh_path_is_file(source);
  if (!status && !skip) status = gh_file_read(err, source, (size_t)1 << 31, &bytes, &size);
  if (!status && !skip) status = gh_file_write(err, target, bytes, size);
  free(bytes);
  free(source);
  free(target);
  return status;
}

gh_status gh_file_remove(gh_error *err, const char *path) {
  if (unlink(path) && errno != ENOENT) return io_fail(err, path, "removing", errno);
  return GH_OK;
}

gh_status gh_file_rename(gh_error *err, const char *from, const char *to) {
  char *folder = gh_path_folder(err, to);
  if (!folder) return GH_ERROR_MEMORY;
  gh_status status = rename(from, to) ? io_fail(err, to, "renaming", errno) : gh_folder_sync(err, folder);
  free(folder);
  return status;
}

/* ---- locks ---- */

struct gh_file_lock {
  int fd;
};

gh_status gh_file_lock_take(gh_error *err, gh_file_lock **out, const char *path, bool wait) {
  *out = NULL;
  struct stat facts;
  gh_file_lock *lock = gh_alloc(err, 1, sizeof *lock);
  if (!lock) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
again:
  lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock->fd < 0) {
    status = io_fail(err, path, "opening", errno);
    goto fail;
  }
  while (flock(lock->fd, LOCK_EX | (wait ? 0 : LOCK_NB))) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK)
      status = gh_fail(err, GH_ERROR_FILE, "%s: in use by another process", path);
    else
      status = io_fail(err, path, "locking", errno);
    goto fail;
  }
  if (!fstat(lock->fd, &facts) && !facts.st_nlink) { /* the holder removed it meanwhile: this lock is void */
    close(lock->fd);
    goto again;
  }
  *out = lock;
  return GH_OK;
fail:
  gh_file_lock_release(lock);
  return status;
}

void gh_file_lock_release(gh_file_lock *lock) {
  if (!lock) return;
  if (lock->fd >= 0) close(lock->fd); /* closing releases the lock */
  free(lock);
}
