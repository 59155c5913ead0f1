/* A file mapped into memory for reading, or bytes of the caller in its place.
 *
 * A mapped file that is truncated while it is in use, or that its disk or server cannot deliver, is SIGBUS for whoever
 * reads it. Here it is a failed read: zeros take the place of the bytes that are lost, and a check after the read says
 * so. Readers check before they use what they have read: gh_st_read_f32 and its kin do, and so does whoever reads
 * gh_st_tensor's data itself. SIGBUS elsewhere is left to the handler from before. A program asks for it; a library
 * takes no signal from its host, where only a file that has become shorter at its end is noticed. */
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

/* From here on, SIGBUS from a mapped file is a failed read. */
void gh_mapping_take_faults(void);
/* Takes SIGBUS again, before a read, if it was taken: a driver's compiler (LLVM) takes it for itself. Any thread may
 * call it. */
void gh_mapping_guard(void);
/* GH_ERROR_FILE if the mapped file that holds `data` could not be read, or has become shorter. GH_OK for other
 * memory. */
gh_status gh_mapping_check(gh_error *err, const void *data);
/* Reads the bytes and checks: before a system call reads them, which reports no SIGBUS. */
gh_status gh_mapping_touch(gh_error *err, const void *data, size_t bytes);
/* GH_ERROR_FILE if any mapped file, open or closed, could not be read, and no check has said so yet. Whoever publishes
 * what was computed from files asks. */
gh_status gh_mapping_check_all(gh_error *err);

#endif
