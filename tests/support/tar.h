/* Tar files made byte by byte, so that tests can make files that no archiver writes. */
#ifndef GH_TESTS_SUPPORT_TAR_H
#define GH_TESTS_SUPPORT_TAR_H

#include <stddef.h>
#include <stdint.h>

typedef struct tar_bytes {
  char *bytes;
  size_t size, capacity;
} tar_bytes;

/* A ustar header (GNU's for 'L', 'K', 'S') of this type with this size field; returns its offset. */
size_t tar_header(tar_bytes *tar, char type, const char *name, uint64_t size);
/* Sets bytes of the header at `at` and corrects its checksum. */
void tar_patch(tar_bytes *tar, size_t at, size_t field, const void *bytes, size_t size);
void tar_checksum(char *header);
void tar_content(tar_bytes *tar, const void *bytes, size_t size); /* and the padding to a block */
void tar_file(tar_bytes *tar, const char *name, const void *bytes, size_t size);
void tar_text(tar_bytes *tar, char type, const char *name, const char *content);
void tar_end(tar_bytes *tar); /* two zero blocks */
void tar_free(tar_bytes *tar);

#endif
