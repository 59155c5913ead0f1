#include "base/incomplete.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* ---- content ---- */

static const struct {
  const char *start, *what, *remedy;
} pointers[] = {
    {"version https://git-lfs.github.com/spec/", "a git-lfs pointer", "`git lfs pull` fetches it"},
    {"version https://hawser.github.com/spec/", "a git-lfs pointer", "`git lfs pull` fetches it"},
    {"/annex/objects/", "a git-annex pointer", "`git annex get` fetches it"},
};

static bool starts(const void *bytes, size_t size, const char *start) {
  return size >= strlen(start) && !strncasecmp(bytes, start, strlen(start));
}

gh_status gh_refuse_pointer(gh_error *err, const char *path, const void *bytes, size_t size) {
  for (size_t i = 0; i < GH_COUNT(pointers); i++)
    if (starts(bytes, size, pointers[i].start))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %s, not the file itself: %s", path, pointers[i].what,
                     pointers[i].remedy);
  return GH_OK;
}

static bool is_page(const char *bytes, size_t size) {
  while (size && strchr(" \t\r\n", *bytes) && *bytes) bytes++, size--;
  return starts(bytes, size, "<!doctype html") || starts(bytes, size, "<html");
}

static bool all_zero(const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i]) return false;
  return true;
}

/* What downloaders put beside or in place of a file that they have not finished. */
static const char *const marks[] = {".aria2", ".incomplete", ".part", ".crdownload", ".download"};
enum { BESIDE = 1 }; /* aria2 gives the file its name and size at once; the others only at the end */

static const char *find_mark(const char *path, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char *mark = gh_format(NULL, "%s%s", path, marks[i]);
    bool there = mark && !access(mark, F_OK);
    free(mark);
    if (there) return marks[i];
  }
  return NULL;
}

gh_status gh_refuse_incomplete(gh_error *err, const char *path, const void *bytes, size_t size) {
  gh_status status = gh_refuse_pointer(err, path, bytes, size);
  if (status) return status;
  const size_t seen = GH_MIN(size, GH_INCOMPLETE_LOOKED_AT);
  const char *mark = find_mark(path, BESIDE);
  if (mark) return gh_fail(err, GH_ERROR_FORMAT, "%s: an incomplete download: %s%s is beside it", path, path, mark);
  if (!size) return gh_fail(err, GH_ERROR_FORMAT, "%s: empty (an incomplete download?)", path);
  if (is_page(bytes, seen))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: a web page, not the file itself: the download failed", path);
  if (seen >= 8 && all_zero(bytes, seen))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: begins with %zu zero bytes (an incomplete download?)", path, seen);
  return GH_OK;
}

gh_status gh_refuse_wide_text(gh_error *err, const char *path, const void *bytes, size_t size) {
  const unsigned char *b = bytes;
  if (size < 2) return GH_OK;
  const bool marked = (b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff);
  const bool bare = size >= 4 && !b[0] != !b[1] && !b[0] == !b[2] && !b[1] == !b[3];
  const bool quad = size >= 4 && ((!b[0] && !b[1] && b[2] == 0xfe && b[3] == 0xff) || (marked && !b[2] && !b[3]));
  if (!marked && !bare && !quad) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: text in %s; save it as UTF-8", path, quad ? "UTF-32" : "UTF-16");
}

/* ---- absence ---- */

bool gh_left_incomplete(const char *path) {
  struct stat facts;
  return access(path, F_OK) && (!lstat(path, &facts) || find_mark(path, GH_COUNT(marks)));
}

gh_status gh_fail_absent(gh_error *err, const char *path, int code) {
  struct stat facts;
  char target[512];
  const char *mark = code == ENOENT ? find_mark(path, GH_COUNT(marks)) : NULL;
  if (mark)
    return gh_fail(err, GH_ERROR_FILE, "%s: %s; %s%s is an incomplete download of it", path, strerror(code), path,
                   mark);
  if (code == ENOENT && !lstat(path, &facts) && S_ISLNK(facts.st_mode)) {
    ssize_t length = readlink(path, target, sizeof target);
    return gh_fail(err, GH_ERROR_FILE, "%s: a link to %.*s, which does not exist (an incomplete download?)", path,
                   (int)GH_MAX(length, 0), target);
  }
  return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(code));
}
