/* The directory of a zip file in memory whose entries are stored without compression, as torch.save writes it; zip64
 * too.
 *
 * Input is hostile. Every offset, length and count is checked against the file's size; an entry that is compressed,
 * encrypted, in two directory rows, or shares bytes with another is GH_ERROR_FORMAT or GH_ERROR_UNSUPPORTED, so a zip
 * bomb has no way to claim more bytes than the file has. */
#ifndef GH_IO_ZIP_H
#define GH_IO_ZIP_H

#include "base/status.h"

typedef struct gh_zip_entry {
  const char *name; /* in the file, NOT zero-terminated */
  size_t name_length;
  uint64_t header; /* offset of the entry's own header */
  const unsigned char *data;
  size_t bytes;
  uint32_t crc;
} gh_zip_entry;

typedef struct gh_zip {
  gh_zip_entry *entries; /* sorted bytewise by name */
  size_t count;
} gh_zip;

/* bytes must outlive zip; path begins the error text. gh_zip_free also after a failure. */
gh_status gh_zip_open(gh_error *err, gh_zip *zip, const char *path, const unsigned char *bytes, size_t size);
void gh_zip_free(gh_zip *zip);

const gh_zip_entry *gh_zip_find(const gh_zip *zip, const char *name); /* NULL when absent */
/* GH_ERROR_FORMAT unless the entry's bytes have its checksum. Reads all of them. */
gh_status gh_zip_check(gh_error *err, const gh_zip_entry *entry, const char *path);

#endif
