/* Writing tar archives (POSIX ustar) piece by piece. The same members give the same bytes: owner, mode and time are
 * fixed. */
#ifndef GH_IO_TAR_WRITE_H
#define GH_IO_TAR_WRITE_H

#include "base/file.h"

/* Adds a file. name has at most 100 bytes, size is below 8 GiB: else GH_ERROR_ARGUMENT. */
gh_status gh_tar_write_file(gh_error *err, gh_file_writer *archive, const char *name, const void *bytes, size_t size);
/* Writes the end mark; the archive is then ready to be committed. */
gh_status gh_tar_write_end(gh_error *err, gh_file_writer *archive);

#endif
