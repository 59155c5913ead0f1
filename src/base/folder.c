/* The folder half of file.h: making, removing, listing, and the space that is left. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

gh_status gh_folder_make(gh_error *err, const char *path) {
  char *copy = gh_strdup(err, path);
  if (!copy) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  for (char *p = copy + 1; copy[0]; p++) {
    bool end = !*p;
    if (!end && *p != '/') continue;
    *p = 0;
    if (mkdir(copy, 0777) && (errno != EEXIST || !gh_path_is_folder(copy))) {
      const char *reason = errno == EEXIST ? "is in the way and is no folder" : strerror(errno);
      status = gh_fail(err, GH_ERROR_FILE, "%s: cannot make the folder: %s: %s", path, copy, reason);
      break;
    }
    if (end) break;
    *p = '/';
  }
  if (!path[0]) status = gh_fail(err, GH_ERROR_ARGUMENT, "cannot make a folder without a name");
  free(copy);
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
    return gh_fail(err, GH_ERROR_FILE, "%s: removing failed: %s", path, strerror(errno));
  return GH_OK;
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
      status = gh_fail(err, GH_ERROR_FILE, "%s: free space unknown: %s", path, strerror(code));
      goto done;
    }
  }
  *bytes = (uint64_t)facts.f_bavail * (uint64_t)facts.f_frsize;
done:
  free(at);
  return status;
}

gh_status gh_file_check_space(gh_error *err, const char *path, uint64_t needed) {
  uint64_t left;
  gh_status status = gh_file_free_bytes(err, path, &left);
  if (status || left >= needed) return status;
  const double gib = 1024.0 * 1024.0 * 1024.0;
  return gh_fail(err, GH_ERROR_FILE, "%s: needs %.2f GiB, the disk has %.2f GiB free", path, (double)needed / gib,
                 (double)left / gib);
}

/* ---- listing ---- */

typedef struct visit {
  dev_t device;
  ino_t inode;
  const struct visit *parent;
} visit;

typedef struct listing {
  gh_error *err;
  gh_strings *out;
  const char *root;
  bool recursive;
} listing;

static gh_status list_folder(listing *list, const char *below, const visit *parent);

/* `below` is the entry's name relative to the root. */
static gh_status list_entry(listing *list, DIR *folder, const struct dirent *entry, const char *below,
                            const visit *here) {
  struct stat facts;
  if (entry->d_type == DT_REG) return gh_strings_add(list->err, list->out, below);
  if (fstatat(dirfd(folder), entry->d_name, &facts, 0)) return GH_OK; /* a dangling link is no file */
  if (S_ISREG(facts.st_mode)) return gh_strings_add(list->err, list->out, below);
  if (S_ISDIR(facts.st_mode) && list->recursive) return list_folder(list, below, here);
  return GH_OK;
}

static gh_status list_folder(listing *list, const char *below, const visit *parent) {
  gh_status status = GH_OK;
  struct stat facts;
  char *path = below[0] ? gh_path_join(list->err, list->root, below) : gh_strdup(list->err, list->root);
  if (!path) return GH_ERROR_MEMORY;
  DIR *folder = opendir(path);
  if (!folder || fstat(dirfd(folder), &facts)) {
    status = gh_fail(list->err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
    goto done;
  }
  visit here = {facts.st_dev, facts.st_ino, parent};
  for (const visit *v = parent; v; v = v->parent)
    if (v->device == here.device && v->inode == here.inode) {
      status = gh_fail(list->err, GH_ERROR_FILE, "%s: links back to a folder that contains it", path);
      goto done;
    }
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (!entry) break;
    if (entry->d_name[0] == '.') continue;
    char *name = gh_path_join(list->err, below, entry->d_name);
    status = name ? list_entry(list, folder, entry, name, &here) : GH_ERROR_MEMORY;
    free(name);
    if (status) goto done;
  }
  if (errno) status = gh_fail(list->err, GH_ERROR_FILE, "%s: listing failed: %s", path, strerror(errno));
done:
  if (folder) closedir(folder);
  free(path);
  return status;
}

gh_status gh_folder_list(gh_error *err, gh_strings *out, const char *path, bool recursive) {
  gh_strings found = {0};
  listing list = {err, &found, path, recursive};
  gh_status status = list_folder(&list, "", NULL);
  if (status) {
    gh_strings_free(&found);
    return status;
  }
  gh_strings_sort(&found);
  *out = found;
  return GH_OK;
}
