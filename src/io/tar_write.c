#include "io/tar_write.h"
#include "io/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME 100
#define MAX_SIZE (UINT64_C(1) << 33)

/* ustar's header; every field is text. */
typedef struct gh_tar_header {
  char name[MAX_NAME], mode[8], owner[8], group[8], size[12], time[12], sum[8], type, link[100], magic[6], version[2];
  char owner_name[32], group_name[32], device[16], prefix[155], rest[12];
} gh_tar_header;

_Static_assert(sizeof(gh_tar_header) == GH_TAR_BLOCK, "a tar header has one block");

static void fill(gh_tar_header *h, const char *name, size_t size) {
  unsigned sum = 0;
  memset(h, 0, sizeof *h);
  memcpy(h->name, name, strlen(name));
  memcpy(h->mode, "0000644", 8);
  memcpy(h->owner, "0000000", 8);
  memcpy(h->group, "0000000", 8);
  snprintf(h->size, sizeof h->size, "%011" PRIo64, (uint64_t)size);
  memcpy(h->time, "00000000000", 12);
  memset(h->sum, ' ', sizeof h->sum); /* counts as blanks */
  h->type = '0';
  memcpy(h->magic, "ustar", 6);
  memcpy(h->version, "00", 2);
  for (size_t i = 0; i < sizeof *h; i++) sum += ((const unsigned char *)h)[i];
  snprintf(h->sum, sizeof h->sum, "%06o", sum); /* the blank after the zero byte stays */
}

gh_status gh_tar_write_file(gh_error *err, gh_file_writer *archive, const char *name, const void *bytes, size_t size) {
  static const char zeros[GH_TAR_BLOCK] = {0};
  gh_tar_header header;
  if (strlen(name) > MAX_NAME || (uint64_t)size >= MAX_SIZE)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: its name or its %zu bytes do not fit into a tar header", name, size);
  fill(&header, name, size);
  gh_status status = gh_file_writer_write(err, archive, &header, sizeof header);
  if (!status) status = gh_file_writer_write(err, archive, bytes, size);
  if (!status && size % GH_TAR_BLOCK)
    status = gh_file_writer_write(err, archive, zeros, GH_TAR_BLOCK - size % GH_TAR_BLOCK);
  return status;
}

gh_status gh_tar_write_end(gh_error *err, gh_file_writer *archive) {
  static const char zeros[2 * GH_TAR_BLOCK] = {0};
  return gh_file_writer_write(err, archive, zeros, sizeof zeros);
}
