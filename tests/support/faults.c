#include "support/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char watched[PATH_MAX];
static check_fault armed;
static long at, count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void check_fault_arm(const char *folder, check_fault fault, long operation) {
  snprintf(watched, sizeof watched, "%s", folder);
  armed = fault;
  at = operation;
  count = 0;
}

long check_fault_count(void) { return count; }

static bool is_below(const char *path) {
  size_t n = strlen(watched);
  return n && !strncmp(path, watched, n) && (path[n] == '/' || !path[n]);
}

static bool is_watched_path(const char *path) {
  char whole[2 * PATH_MAX] = "";
  if (!watched[0]) return false;
  if (path[0] != '/') {
    if (!getcwd(whole, PATH_MAX)) return false;
    strcat(whole, "/");
  }
  strncat(whole, path, PATH_MAX - 1);
  return is_below(whole);
}

static bool is_watched_file(int fd) {
  char link[64], path[PATH_MAX];
  if (!watched[0]) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return false;
  path[n] = 0;
  return is_below(path);
}

/* Counts an operation; returns whether it must fail for lack of space. `half`: bytes that a torn write still writes. */
static bool suffers(int fd, const void *bytes, size_t half, bool takes_space) {
  pthread_mutex_lock(&lock);
  long now = ++count;
  pthread_mutex_unlock(&lock);
  if (!at || now < at || armed == CHECK_FAULT_NONE) return false;
  if (armed == CHECK_FAULT_FULL) return takes_space;
  if (now > at) return false;
  if (armed == CHECK_FAULT_TEAR && half) (void)!syscall(SYS_write, fd, bytes, half);
  raise(SIGKILL);
  return false;
}

static bool fails(int fd, bool takes_space) { return is_watched_file(fd) && suffers(-1, NULL, 0, takes_space); }
static bool path_fails(const char *path, bool takes_space) {
  return is_watched_path(path) && suffers(-1, NULL, 0, takes_space);
}

static int full(void) {
  errno = ENOSPC;
  return -1;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  if (is_watched_file(fd) && suffers(fd, bytes, size / 2, true)) return full();
  return syscall(SYS_write, fd, bytes, size);
}

static check_fsync_visitor *visitor;

void check_fsync_visit(check_fsync_visitor *visit) { visitor = visit; }

int fsync(int fd) {
  if (visitor) visitor(fd);
  return fails(fd, true) ? full() : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
  if (path_fails(to, false)) return full();
  return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path) {
  if (path_fails(path, false)) return full();
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
  if (path_fails(path, false)) return full();
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode) {
  if (path_fails(path, true)) return full();
  return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
