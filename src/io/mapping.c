#include "io/mapping.h"
#include "base/incomplete.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Looks at the file's first bytes before its size: a pointer in its place may be shorter than `least`. */
static gh_status refuse_incomplete(gh_error *err, const char *path, int fd) {
  char start[GH_INCOMPLETE_LOOKED_AT];
  ssize_t got = pread(fd, start, sizeof start, 0);
  if (got < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  return gh_refuse_incomplete(err, path, start, (size_t)got);
}

gh_status gh_mapping_open(gh_error *err, gh_mapping *m, size_t least, const char *what) {
  struct stat facts;
  int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* rejects a pipe instead of waiting for it */
  if (fd < 0) return gh_fail_absent(err, m->path, errno);
  gh_status status = GH_OK;
  if (fstat(fd, &facts) || !S_ISREG(facts.st_mode)) {
    status = gh_fail(err, GH_ERROR_FILE, "%s: not a regular file", m->path);
  } else if ((status = refuse_incomplete(err, m->path, fd))) {
    goto done;
  } else if ((uint64_t)facts.st_size < least) {
    status =
        gh_fail(err, GH_ERROR_FORMAT, "%s: %lld bytes are too short for %s", m->path, (long long)facts.st_size, what);
  } else {
    void *map = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
      status = gh_fail(err, GH_ERROR_FILE, "%s: cannot be mapped: %s", m->path, strerror(errno));
    else
      m->bytes = map, m->size = (size_t)facts.st_size;
  }
done:
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
  if (m->bytes && !m->borrowed) munmap((void *)m->bytes, m->size);
  free(m->path);
  *m = (gh_mapping){0};
}
