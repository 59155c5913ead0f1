/* A file mapped into memory for reading, or bytes of the caller in its place. */
#ifndef GH_IO_MAPPING_H
#define GH_IO_MAPPING_H

#include "base/status.h"

typedef struct gh_mapping {
  char *path; /* in messages; owned */
  const unsigned char *bytes;
  size_t size;
  bool borrowed; /* the bytes are the caller's */
} gh_mapping;

/* Maps m->path, a regular file. One of fewer than `least` bytes is GH_ERROR_FORMAT: too short for `what`
 * ("a safetensors file"); one that is not the file itself is refused as base/incomplete.h says. */
gh_status gh_mapping_open(gh_error *err, gh_mapping *m, size_t least, const char *what);
/* Releases the memory of the pages that lie entirely in [data, data + bytes) if they are this file's; reading them
 * again reads the file. */
void gh_mapping_release(const gh_mapping *m, const void *data, size_t bytes);
void gh_mapping_close(gh_mapping *m); /* an empty one is fine */

#endif
