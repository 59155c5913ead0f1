#include "io/mapping.h"
#include "base/incomplete.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which files are mapped: read by the handler without a lock, changed under `lock` ---- */

typedef struct watched {
  _Atomic(uintptr_t) begin; /* 0: closed */
  _Atomic(uintptr_t) end;
  atomic_bool broken;   /* set by the handler */
  atomic_bool reported; /* by a check */
  char *path;           /* owned; NULL: the place is free */
  dev_t device;
  ino_t inode;
} watched;

typedef struct block {
  watched places[64];
  _Atomic(struct block *) next; /* blocks are never freed */
} block;

static block first_block;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before; /* what SIGBUS did without us; guarded by `lock`, but read by the handler */

static watched *find(uintptr_t address) {
  for (block *b = &first_block; b; b = atomic_load(&b->next))
    for (size_t i = 0; i < GH_COUNT(b->places); i++) {
      const uintptr_t begin = atomic_load(&b->places[i].begin);
      if (begin && address >= begin && address < atomic_load(&b->places[i].end)) return &b->places[i];
    }
  return NULL;
}

static watched *find_free(gh_error *err) {
  for (block *b = &first_block;; b = atomic_load(&b->next)) {
    for (size_t i = 0; i < GH_COUNT(b->places); i++)
      if (!b->places[i].path) return &b->places[i];
    if (atomic_load(&b->next)) continue;
    block *more = gh_alloc(err, 1, sizeof *more);
    if (!more) return NULL;
    atomic_store(&b->next, more);
  }
}

static gh_status watch(gh_error *err, const gh_mapping *m, const struct stat *facts) {
  char *path = gh_strdup(err, m->path);
  pthread_mutex_lock(&lock);
  watched *w = path ? find_free(err) : NULL;
  if (w) {
    w->path = path;
    w->device = facts->st_dev;
    w->inode = facts->st_ino;
    atomic_store(&w->broken, false);
    atomic_store(&w->reported, false);
    atomic_store(&w->end, (uintptr_t)m->bytes + m->size);
    atomic_store(&w->begin, (uintptr_t)m->bytes);
  }
  pthread_mutex_unlock(&lock);
  if (w) return GH_OK;
  free(path);
  return GH_ERROR_MEMORY;
}

/* A file that broke and that nobody has reported keeps its place, for gh_mapping_check_all. */
static void unwatch(const gh_mapping *m) {
  watched *w = find((uintptr_t)m->bytes);
  if (!w) return;
  pthread_mutex_lock(&lock);
  atomic_store(&w->begin, 0);
  if (!atomic_load(&w->broken) || atomic_load(&w->reported)) {
    free(w->path);
    w->path = NULL;
  }
  pthread_mutex_unlock(&lock);
}

/* ---- SIGBUS ---- */

/* Replaces the rest of the file, from the page that cannot be read on, by zeros, and lets the read go on. Calls only
 * what a signal's handler may call. */
static void on_fault(int sig, siginfo_t *info, void *context) {
  (void)context;
  const int code = errno;
  const uintptr_t address = (uintptr_t)info->si_addr;
  watched *w = info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR ? find(address) : NULL;
  if (w) {
    const uintptr_t page = address - address % (uintptr_t)sysconf(_SC_PAGESIZE);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    void *zeros = mmap((void *)page, (size_t)(atomic_load(&w->end) - page), PROT_READ, flags, -1, 0);
    atomic_store(&w->broken, true);
    errno = code;
    if (zeros != MAP_FAILED) return;
  }
  sigaction(sig, &before, NULL); /* the read is tried again, and faults again */
  errno = code;
}

static atomic_bool taken;

void gh_mapping_take_faults(void) {
  atomic_store(&taken, true);
  gh_mapping_guard();
}

void gh_mapping_guard(void) {
  if (!atomic_load(&taken)) return;
  struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART}, now;
  sigemptyset(&ours.sa_mask);
  if (!sigaction(SIGBUS, NULL, &now) && now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault) return;
  pthread_mutex_lock(&lock);
  if (!sigaction(SIGBUS, &ours, &now) && !(now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)) before = now;
  pthread_mutex_unlock(&lock);
}

/* ---- checks ---- */

static gh_status report(gh_error *err, watched *w) {
  atomic_store(&w->reported, true);
  return gh_fail(err, GH_ERROR_FILE, "%s: cannot be read: it was truncated while in use, or its disk or server failed",
                 w->path);
}

/* The end of the last page can be lost without a fault: the kernel fills it with zeros. */
static bool is_shorter(const watched *w) {
  struct stat now;
  return !stat(w->path, &now) && now.st_dev == w->device && now.st_ino == w->inode &&
         (uint64_t)now.st_size < (uint64_t)(atomic_load(&w->end) - atomic_load(&w->begin));
}

gh_status gh_mapping_check(gh_error *err, const void *data) {
  watched *w = find((uintptr_t)data);
  return w && (atomic_load(&w->broken) || is_shorter(w)) ? report(err, w) : GH_OK;
}

gh_status gh_mapping_touch(gh_error *err, const void *data, size_t bytes) {
  if (!bytes || !find((uintptr_t)data)) return GH_OK;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const volatile unsigned char *at = data;
  gh_mapping_guard();
  for (size_t i = 0; i < bytes; i += page) (void)at[i];
  (void)at[bytes - 1];
  return gh_mapping_check(err, data);
}

gh_status gh_mapping_check_all(gh_error *err) {
  gh_status status = GH_OK;
  pthread_mutex_lock(&lock);
  for (block *b = &first_block; b && !status; b = atomic_load(&b->next))
    for (size_t i = 0; i < GH_COUNT(b->places) && !status; i++) {
      watched *w = &b->places[i];
      if (!w->path || !atomic_load(&w->broken) || atomic_load(&w->reported)) continue;
      status = report(err, w);
      if (atomic_load(&w->begin)) continue;
      free(w->path);
      w->path = NULL;
    }
  pthread_mutex_unlock(&lock);
  return status;
}

/* ---- opening ---- */

/* Looks at the file's first bytes before its size: a pointer in its place may be shorter than `least`. */
static gh_status refuse_incomplete(gh_error *err, const char *path, int fd) {
  char start[GH_INCOMPLETE_LOOKED_AT];
  ssize_t got = pread(fd, start, sizeof start, 0);
  if (got < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  return gh_refuse_incomplete(err, path, start, (size_t)got);
}

static gh_status map_file(gh_error *err, gh_mapping *m, int fd, const struct stat *facts) {
  void *bytes = mmap(NULL, (size_t)facts->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) return gh_fail(err, GH_ERROR_FILE, "%s: cannot be mapped: %s", m->path, strerror(errno));
  m->bytes = bytes, m->size = (size_t)facts->st_size;
  gh_status status = watch(err, m, facts);
  gh_mapping_guard();
  if (!status) return GH_OK;
  munmap(bytes, m->size);
  m->bytes = NULL, m->size = 0;
  return status;
}

gh_status gh_mapping_open(gh_error *err, gh_mapping *m, size_t least, const char *what) {
  struct stat facts;
  int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* rejects a pipe instead of waiting for it */
  if (fd < 0) return gh_fail_absent(err, m->path, errno);
  gh_status status = GH_OK;
  if (fstat(fd, &facts) || !S_ISREG(facts.st_mode))
    status = gh_fail(err, GH_ERROR_FILE, "%s: not a regular file", m->path);
  if (!status) status = refuse_incomplete(err, m->path, fd);
  if (!status && (uint64_t)facts.st_size < least)
    status =
        gh_fail(err, GH_ERROR_FORMAT, "%s: %lld bytes are too short for %s", m->path, (long long)facts.st_size, what);
  if (!status) status = map_file(err, m, fd, &facts);
  close(fd);
  return status;
}

void gh_mapping_release(const gh_mapping *m, const void *data, size_t bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data, map = (uintptr_t)m->bytes;
  const uintptr_t first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (!map || m->borrowed || begin < map || begin + bytes > map + m->size || end <= first) return;
  madvise((void *)first, (size_t)(end - first), MADV_DONTNEED); /* a failure only costs memory */
}

void gh_mapping_close(gh_mapping *m) {
  if (m->bytes && !m->borrowed) {
    unwatch(m);
    munmap((void *)m->bytes, m->size);
  }
  free(m->path);
  *m = (gh_mapping){0};
}
