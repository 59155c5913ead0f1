/* Files that are named right and are not the file: a pointer that git-lfs or git-annex left in its place, a download
 * that was cut off, a web page saved instead, a link to nothing. Every function that opens a file of others asks here,
 * so that all of them say the same words. */
#ifndef GH_BASE_INCOMPLETE_H
#define GH_BASE_INCOMPLETE_H

#include "base/status.h"

#define GH_INCOMPLETE_LOOKED_AT ((size_t)512) /* the first bytes of a file that are enough to tell */

/* GH_ERROR_FORMAT "PATH: a git-lfs pointer, not the file: ..." for the first `size` bytes of a file; more than
 * GH_INCOMPLETE_LOOKED_AT are not needed. GH_OK for everything else, an empty file too. */
gh_status gh_refuse_pointer(gh_error *err, const char *path, const void *bytes, size_t size);
/* The same for a file that cannot be text: also a web page, nothing but zeros, no bytes at all, and the mark of an
 * unfinished download beside it. */
gh_status gh_refuse_incomplete(gh_error *err, const char *path, const void *bytes, size_t size);

/* GH_ERROR_FORMAT for text that begins as UTF-16 or UTF-32 does: with a byte order mark, or with a letter and a zero.
 */
gh_status gh_refuse_wide_text(gh_error *err, const char *path, const void *bytes, size_t size);

/* GH_ERROR_FILE for a file that could not be opened; `code` is errno. For an absent one, says that the path is a link
 * to nothing, or which unfinished download is in its place. */
gh_status gh_fail_absent(gh_error *err, const char *path, int code);
/* Whether an absent file has one of these in its place. */
bool gh_left_incomplete(const char *path);

#endif
