/* The headers of an uncompressed tar file: its members and the offsets of their content, so that training can read any
 * of them with one pread.
 *
 * Supports ustar with its prefix, GNU's long names and base-256 sizes, pax headers (path, size; global ones are
 * skipped) and v7. No content is read: the walk costs one small read for neighbouring headers, whereas libarchive reads
 * the whole file. (In the tests, libarchive writes the archives and cross-checks the results.)
 *
 * Input is hostile. Every length is checked against the file's size; memory is bounded by a few pages and one extended
 * header of at most GH_TAR_MAX_EXTENDED bytes; names come unchecked from the file and must be validated before use as
 * paths. A broken or truncated file yields the members before the damage. */
#ifndef GH_IO_TAR_H
#define GH_IO_TAR_H

#include "base/status.h"

#define GH_TAR_BLOCK        512
#define GH_TAR_MAX_NAME     4096
#define GH_TAR_MAX_EXTENDED ((size_t)1 << 20)

/* Bytes in memory, or a file: fd is read with pread and stays open. */
typedef struct gh_tar_input {
  const void *bytes; /* NULL: read from fd */
  int fd;
  uint64_t size;
} gh_tar_input;

typedef struct gh_tar_member {
  const char *name;       /* without a leading "./" and a folder's last "/"; valid only during the call */
  uint64_t offset, bytes; /* of the content, which lies inside the file */
  const char *problem;    /* NULL, or why the content is not a plain file: "a symbolic link", "a sparse file", ... */
  bool name_unsure;       /* with a problem: an extended header was unusable, so this is only the short name */
} gh_tar_member;

/* A status other than GH_OK ends the walk, which returns it. */
typedef gh_status gh_tar_visitor(gh_error *err, void *context, const gh_tar_member *member);

typedef struct gh_tar_end {
  uint64_t members; /* visited */
  uint64_t offset;  /* where reading ended */
  char broken[256]; /* "" for an archive with an end mark, else what is wrong at `offset` */
} gh_tar_end;

/* Visits the members in the file's order. Fails as the visitor does, with GH_ERROR_MEMORY, or, where the file cannot be
 * read, with GH_ERROR_FILE (the text lacks the file's name): what the file holds is unknown then. */
gh_status gh_tar_walk(gh_error *err, const gh_tar_input *input, gh_tar_visitor *visit, void *context, gh_tar_end *end);

/* "gzip", ... if these first bytes show a known compression, else NULL. */
const char *gh_tar_compression(const void *bytes, size_t size);

#endif
