/* The folder half of file.h: creating, removing, listing, free space. */
#include "base/array.h"
#include "base/file.h"
#include "base/retry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A new folder survives a power cut only when the folder above it has been written. One that may not be read cannot be
 * synced: then the system's time to write it back has to do. */
static gh_status sync_parent(gh_error *err, const char *path) {
  char *parent = gh_path_folder(err, path);
  gh_status status = !parent ? GH_ERROR_MEMORY : access(parent, R_OK) ? GH_OK : gh_folder_sync(err, parent);
  free(parent);
  return status;
}

gh_status gh_folder_make(gh_error *err, const char *path) {
  char *copy = gh_strdup(err, path);
  if (!copy) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  for (char *p = copy + 1; copy[0]; p++) {
    bool end = !*p;
    if (!end && *p != '/') continue;
    *p = 0;
    if (!mkdir(copy, 0777)) {
      status = sync_parent(err, copy);
    } else if (errno != EEXIST || !gh_path_is_folder(copy)) {
      const char *reason = errno == EEXIST ? "exists and is not a folder" : strerror(errno);
      status = gh_fail(err, GH_ERROR_FILE, "%s: cannot make the folder: %s: %s", path, copy, reason);
    }
    if (end || status) break;
    *p = '/';
  }
  if (!path[0]) status = gh_fail(err, GH_ERROR_ARGUMENT, "cannot make a folder with an empty name");
  free(copy);
  return status;
}

gh_status gh_folder_check(gh_error *err, const char *path) {
  gh_status status = GH_OK;
  char *at = gh_strdup(err, path);
  while (at && !gh_path_exists(at)) { /* "." and "/" exist */
    char *folder = gh_path_folder(err, at);
    free(at);
    at = folder;
  }
  if (!at) return GH_ERROR_MEMORY;
  if (!gh_path_is_folder(at))
    status = gh_fail(err, GH_ERROR_FILE, "%s: cannot make the folder: %s: exists and is not a folder", path, at);
  else if (access(at, W_OK | X_OK))
    status = gh_fail(err, GH_ERROR_FILE, "%s: cannot be written: %s: %s", path, at, strerror(errno));
  free(at);
  return status;
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *where) {
  (void)facts;
  (void)where;
  return type == FTW_DP ? rmdir(path) : unlink(path);
}

gh_status gh_folder_remove(gh_error *err, const char *path) {
  struct stat facts;
  if (lstat(path, &facts) && errno == ENOENT) return GH_OK;
  if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS))
    return gh_fail(err, GH_ERROR_FILE, "%s: cannot be removed: %s", path, strerror(errno));
  return GH_OK;
}

/* The process whose open_temporary named the file, ".NAME.PROCESS-N.tmp"; *length: that of NAME. 0 for other names. */
static long writer_of(const char *name, size_t *length) {
  const char *dot = strrchr(name, '.');
  while (dot > name && *--dot != '.') continue;
  long process = 0;
  unsigned serial = 0;
  int used = 0;
  if (name[0] != '.' || dot <= name || sscanf(dot, ".%ld-%u.tmp%n", &process, &serial, &used) != 2) return 0;
  *length = (size_t)(dot - name - 1);
  return used && !dot[used] && process > 0 ? process : 0;
}

static bool is_active(long process) {
  return process != (long)getpid() && (!kill((pid_t)process, 0) || errno != ESRCH);
}

/* Whether a temporary file is ours and nobody writes it: its process is gone, and no process, be it on another machine
 * that shares the folder, has it locked. */
static bool is_left_behind(int folder, const char *name, long process) {
  struct stat facts;
  if (is_active(process)) return false;
  int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  bool ours = !fstat(fd, &facts) && S_ISREG(facts.st_mode) && facts.st_uid == geteuid();
  bool held = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
  close(fd);
  return ours && !held;
}

/* Removes temporary files. `of`: only those for this name; NULL: for any. */
static gh_status sweep(gh_error *err, DIR *folder, const char *path, const char *of, bool others_write) {
  const int fd = dirfd(folder);
  size_t length = 0, wanted = of ? strlen(of) : 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    const char *name = entry->d_name;
    const long writer = writer_of(name, &length);
    if (!writer || (of && (length != wanted || memcmp(name + 1, of, length)))) continue;
    if (others_write && !is_left_behind(fd, name, writer)) continue;
    if (unlinkat(fd, name, 0) && errno != ENOENT)
      return gh_fail(err, GH_ERROR_FILE, "%s/%s: removing failed: %s", path, name, strerror(errno));
  }
  return GH_OK;
}

static gh_status sweep_all(gh_error *err, const char *path, bool others_write) {
  DIR *folder = opendir(path);
  if (!folder) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  gh_status status = sweep(err, folder, path, NULL, others_write);
  closedir(folder);
  return status;
}

gh_status gh_folder_sweep(gh_error *err, const char *path) { return sweep_all(err, path, false); }

gh_status gh_folder_sweep_dead(gh_error *err, const char *path) {
  return gh_path_is_folder(path) ? sweep_all(err, path, true) : GH_OK;
}

void gh_file_sweep(const char *folder, const char *name) {
  gh_error ignored;
  DIR *open_folder = opendir(folder);
  if (!open_folder) return;
  sweep(&ignored, open_folder, folder, name, true);
  closedir(open_folder);
}

gh_status gh_file_free_bytes(gh_error *err, const char *path, uint64_t *bytes) {
  struct statvfs facts;
  char *at = gh_strdup(err, path);
  if (!at) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  while (statvfs(at, &facts)) {
    const int code = errno;
    char *folder = gh_path_folder(err, at);
    if (!folder) {
      status = GH_ERROR_MEMORY;
      goto done;
    }
    bool same = !strcmp(folder, at);
    free(at);
    at = folder;
    if (same || (code != ENOENT && code != ENOTDIR)) {
      status = gh_fail(err, GH_ERROR_FILE, "%s: cannot determine the free space: %s", path, strerror(code));
      goto done;
    }
  }
  *bytes = (uint64_t)facts.f_bavail * (uint64_t)facts.f_frsize;
done:
  free(at);
  return status;
}

/* In the largest unit that the number reaches: "1.27 GiB", "300.00 KiB", "12 bytes". */
static void bytes_text(char *out, size_t size, uint64_t bytes) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < GH_COUNT(units); unit++) value /= 1024;
  if (bytes < 1024)
    snprintf(out, size, "%llu bytes", (unsigned long long)bytes);
  else
    snprintf(out, size, "%.2f %s", value, units[unit]);
}

gh_status gh_file_check_space(gh_error *err, const char *path, uint64_t needed) {
  uint64_t left;
  gh_status status = gh_file_free_bytes(err, path, &left);
  if (status || left >= needed) return status;
  char need[32], have[32];
  bytes_text(need, sizeof need, needed);
  bytes_text(have, sizeof have, left);
  return gh_fail(err, GH_ERROR_FILE, "%s: needs %s, the disk has %s free", path, need, have);
}

/* ---- listing ---- */

typedef struct visit {
  dev_t device;
  ino_t inode;
  const struct visit *parent;
} visit;

typedef struct walk {
  gh_error *err;
  const char *root;
  bool recursive;
  gh_folder_visitor *visit, *others;
  void *context;
  gh_strings *folders; /* gets the names of folders, and no file is visited; NULL: files are */
  char *name;          /* of the current entry, relative to the root */
  size_t capacity;
} walk;

static gh_status walk_folder(walk *w, int fd, size_t below, const visit *parent);

static gh_status walk_fail(const walk *w, size_t below, const char *reason) {
  return gh_fail(w->err, GH_ERROR_FILE, "%s%s%.*s: %s", w->root, below ? "/" : "", (int)below, w->name, reason);
}

/* Replaces the name after its first `below` bytes with the entry; *length is the whole length. */
static gh_status name_entry(walk *w, size_t below, const char *entry, size_t *length) {
  size_t added = strlen(entry);
  *length = below + (below > 0) + added;
  if (GH_ARRAY_RESERVE(w->err, w->name, w->capacity, below, *length + 1 - below)) return GH_ERROR_MEMORY;
  if (below) w->name[below] = '/';
  memcpy(w->name + *length - added, entry, added + 1);
  return GH_OK;
}

/* Whether a call is to be repeated that failed with `code` on the entry that the name has; faults are waited for. */
static bool again(const walk *w, gh_retry *retry, size_t length, int code) {
  char path[512]; /* for the warning */
  snprintf(path, sizeof path, "%s%s%.*s", w->root, length ? "/" : "", (int)length, w->name);
  return gh_retry_code(retry, path, code);
}

/* What an entry is, where the folder does not say it or it is a link. A dangling link is neither. */
static gh_status look_at(walk *w, int folder, const char *entry, size_t length, bool *regular, bool *sub_folder) {
  struct stat facts;
  gh_retry retry = {0};
  int code;
  do code = fstatat(folder, entry, &facts, 0) ? errno : 0;
  while (code && again(w, &retry, length, code));
  if (code && !gh_code_means_absent(code)) return walk_fail(w, length, strerror(code));
  *regular = !code && S_ISREG(facts.st_mode);
  *sub_folder = !code && S_ISDIR(facts.st_mode);
  return GH_OK;
}

/* -1: it could not be opened, and errno has the reason. */
static int open_folder(walk *w, int parent, const char *entry, size_t length) {
  gh_retry retry = {0};
  int fd, code;
  do {
    fd = openat(parent, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    code = errno;
  } while (fd < 0 && again(w, &retry, length, code));
  errno = code;
  return fd;
}

/* The stream of an open folder, and the folder's facts. NULL: failed, and *code has the reason. Takes ownership of fd.
 */
static DIR *stream_of(walk *w, int fd, size_t below, struct stat *facts, int *code) {
  gh_retry retry = {0};
  DIR *folder;
  do {
    folder = fdopendir(fd);
    *code = errno;
  } while (!folder && again(w, &retry, below, *code));
  if (!folder) {
    close(fd);
    return NULL;
  }
  do *code = fstat(fd, facts) ? errno : 0;
  while (*code && again(w, &retry, below, *code));
  if (!*code) return folder;
  closedir(folder);
  return NULL;
}

static gh_status walk_entry(walk *w, DIR *folder, const struct dirent *entry, size_t below, const visit *here) {
  int fd = dirfd(folder);
  size_t length;
  bool regular = entry->d_type == DT_REG, sub_folder = entry->d_type == DT_DIR;
  gh_status status = name_entry(w, below, entry->d_name, &length);
  if (!status && !regular && !sub_folder) status = look_at(w, fd, entry->d_name, length, &regular, &sub_folder);
  if (status) return status;
  if (w->folders) return sub_folder ? gh_strings_add(w->err, w->folders, w->name) : GH_OK;
  if (regular) return w->visit(w->err, w->context, w->name, fd, entry->d_name);
  if (!sub_folder && w->others) return w->others(w->err, w->context, w->name, fd, entry->d_name);
  return sub_folder && w->recursive ? walk_folder(w, open_folder(w, fd, entry->d_name, length), length, here) : GH_OK;
}

/* The next entry; NULL at the end, and after a fault that stayed, whose errno is in *code. */
static struct dirent *next_entry(walk *w, DIR *folder, size_t below, int *code) {
  gh_retry retry = {0};
  struct dirent *entry;
  do {
    errno = 0;
    entry = readdir(folder);
    *code = entry ? 0 : errno;
  } while (*code && again(w, &retry, below, *code));
  return entry;
}

/* Takes ownership of fd; -1 means that the folder could not be opened (errno has the reason). */
static gh_status walk_folder(walk *w, int fd, size_t below, const visit *parent) {
  gh_status status = GH_OK;
  struct stat facts;
  int code = errno;
  DIR *folder = fd < 0 ? NULL : stream_of(w, fd, below, &facts, &code);
  if (!folder) return walk_fail(w, below, strerror(code));
  visit here = {facts.st_dev, facts.st_ino, parent};
  for (const visit *v = parent; v; v = v->parent)
    if (v->device == here.device && v->inode == here.inode) {
      status = walk_fail(w, below, "links back to a folder that contains it");
      goto done;
    }
  for (struct dirent *entry; (entry = next_entry(w, folder, below, &code));)
    if (entry->d_name[0] != '.' && (status = walk_entry(w, folder, entry, below, &here))) goto done;
  if (code) status = walk_fail(w, below, strerror(code));
done:
  closedir(folder);
  return status;
}

static gh_status walk_root(walk *w) {
  w->name = gh_alloc(w->err, w->capacity = 256, 1);
  if (!w->name) return GH_ERROR_MEMORY;
  gh_status status = walk_folder(w, open_folder(w, AT_FDCWD, w->root, 0), 0, NULL);
  free(w->name);
  return status;
}

gh_status gh_folder_walk(gh_error *err, const char *path, bool recursive, gh_folder_visitor *visit_file,
                         gh_folder_visitor *others, void *context) {
  walk w = {
      .err = err, .root = path, .recursive = recursive, .visit = visit_file, .others = others, .context = context};
  return walk_root(&w);
}

gh_status gh_folder_list_folders(gh_error *err, gh_strings *out, const char *path) {
  gh_strings found = {0};
  walk w = {.err = err, .root = path, .folders = &found};
  gh_status status = walk_root(&w);
  if (status)
    gh_strings_free(&found);
  else
    gh_strings_sort(&found);
  *out = found;
  return status;
}

static gh_status add_name(gh_error *err, void *context, const char *name, int folder_fd, const char *entry) {
  (void)folder_fd;
  (void)entry;
  return gh_strings_add(err, context, name);
}

static gh_status list(gh_error *err, gh_strings *out, const char *path, bool recursive, gh_folder_visitor *others) {
  gh_strings found = {0};
  gh_status status = gh_folder_walk(err, path, recursive, add_name, others, &found);
  if (status) {
    gh_strings_free(&found);
    return status;
  }
  gh_strings_sort(&found);
  *out = found;
  return GH_OK;
}

gh_status gh_folder_list(gh_error *err, gh_strings *out, const char *path, bool recursive) {
  return list(err, out, path, recursive, NULL);
}

gh_status gh_folder_list_all(gh_error *err, gh_strings *out, const char *path, bool recursive) {
  return list(err, out, path, recursive, add_name);
}
