#include "support/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

enum { BLOCK = 512 };

static char *grow(tar_bytes *tar, size_t added) {
  if (tar->size + added > tar->capacity) {
    tar->capacity = 2 * (tar->size + added);
    tar->bytes = realloc(tar->bytes, tar->capacity);
    assert_non_null(tar->bytes);
  }
  char *at = tar->bytes + tar->size;
  memset(at, 0, added);
  tar->size += added;
  return at;
}

void tar_checksum(char *header) {
  unsigned sum = 0;
  memset(header + 148, ' ', 8);
  for (int i = 0; i < BLOCK; i++) sum += (unsigned char)header[i];
  snprintf(header + 148, 8, "%06o", sum & 0777777);
}

size_t tar_header(tar_bytes *tar, char type, const char *name, uint64_t size) {
  size_t at = tar->size;
  char *header = grow(tar, BLOCK), number[16];
  memcpy(header, name, strnlen(name, 100));
  memcpy(header + 100, "0000644\0000000000\0000000000", 24);
  if (size >> 33) {
    header[124] = (char)0x80;
    for (int i = 0; i < 8; i++) header[128 + i] = (char)(size >> (56 - 8 * i));
  } else {
    snprintf(number, sizeof number, "%011llo", (unsigned long long)size);
    memcpy(header + 124, number, 12);
  }
  memcpy(header + 136, "00000000000", 12);
  header[156] = type;
  memcpy(header + 257, strchr("LKS", type) && type ? "ustar  \0" : "ustar\00000", 8);
  tar_checksum(header);
  return at;
}

void tar_patch(tar_bytes *tar, size_t at, size_t field, const void *bytes, size_t size) {
  memcpy(tar->bytes + at + field, bytes, size);
  if (field != 148) tar_checksum(tar->bytes + at);
}

void tar_content(tar_bytes *tar, const void *bytes, size_t size) {
  char *at = grow(tar, (size + BLOCK - 1) / BLOCK * BLOCK);
  if (size) memcpy(at, bytes, size);
}

void tar_file(tar_bytes *tar, const char *name, const void *bytes, size_t size) {
  tar_header(tar, '0', name, size);
  tar_content(tar, bytes, size);
}

void tar_text(tar_bytes *tar, char type, const char *name, const char *content) {
  tar_header(tar, type, name, strlen(content));
  tar_content(tar, content, strlen(content));
}

void tar_end(tar_bytes *tar) { grow(tar, 2 * BLOCK); }

void tar_free(tar_bytes *tar) {
  free(tar->bytes);
  *tar = (tar_bytes){0};
}
