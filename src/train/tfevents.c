#include "train/tfevents.h"
#include "base/file.h"

#include <string.h>

#define VERSION     "brain.Event:2"
#define MAX_SCALARS 32
#define MAX_TAG     64
#define MAX_RECORD  (MAX_SCALARS * (MAX_TAG + 16) + 64)

/* ---- TFRecord ---- */

uint32_t gh_masked_crc32c(const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < size; i++) {
    crc ^= at[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + UINT32_C(0xA282EAD8);
}

/* A record under construction; little endian on every machine. */
typedef struct gh_bytes {
  unsigned char data[MAX_RECORD];
  size_t size;
} gh_bytes;

static void put(gh_bytes *b, const void *bytes, size_t size) {
  memcpy(b->data + b->size, bytes, size);
  b->size += size;
}

static void put_fixed(gh_bytes *b, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) b->data[b->size++] = (unsigned char)(value >> 8 * i);
}

static gh_status write_record(gh_error *err, const char *path, const gh_bytes *event, bool anew) {
  gh_bytes record = {.size = 0};
  put_fixed(&record, event->size, 8);
  put_fixed(&record, gh_masked_crc32c(record.data, 8), 4);
  put(&record, event->data, event->size);
  put_fixed(&record, gh_masked_crc32c(event->data, event->size), 4);
  return anew ? gh_file_write(err, path, record.data, record.size)
              : gh_file_append(err, path, record.data, record.size);
}

/* ---- protobuf ---- */

enum { VARINT = 0, DOUBLE = 1, BYTES = 2, FLOAT = 5 }; /* wire types */

static void put_varint(gh_bytes *b, uint64_t value) {
  for (; value >= 128; value >>= 7) b->data[b->size++] = (unsigned char)(value | 128);
  b->data[b->size++] = (unsigned char)value;
}

static void put_key(gh_bytes *b, int field, int wire) { put_varint(b, (uint64_t)(field << 3 | wire)); }

static void put_double(gh_bytes *b, int field, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_key(b, field, DOUBLE);
  put_fixed(b, bits, 8);
}

static void put_text(gh_bytes *b, int field, const void *bytes, size_t size) {
  put_key(b, field, BYTES);
  put_varint(b, size);
  put(b, bytes, size);
}

/* Summary.Value: tag = 1, simple_value = 2. */
static void put_scalar(gh_bytes *summary, const gh_scalar *scalar) {
  gh_bytes value = {.size = 0};
  float number = (float)scalar->value;
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  put_text(&value, 1, scalar->tag, strlen(scalar->tag));
  put_key(&value, 2, FLOAT);
  put_fixed(&value, bits, 4);
  put_text(summary, 1, value.data, value.size);
}

/* Event: wall_time = 1, step = 2, file_version = 3, summary = 5. */

gh_status gh_tfevents_begin(gh_error *err, const char *path, double wall_time) {
  gh_bytes event = {.size = 0};
  put_double(&event, 1, wall_time);
  put_text(&event, 3, VERSION, strlen(VERSION));
  return write_record(err, path, &event, true);
}

gh_status gh_tfevents_add(gh_error *err, const char *path, double wall_time, int64_t step, const gh_scalar *scalars,
                          size_t count) {
  gh_bytes event = {.size = 0}, summary = {.size = 0};
  if (count > MAX_SCALARS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %zu scalars in one event, at most %d", path, count, MAX_SCALARS);
  for (size_t i = 0; i < count; i++) {
    if (strlen(scalars[i].tag) >= MAX_TAG)
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: the tag %s is too long", path, scalars[i].tag);
    put_scalar(&summary, &scalars[i]);
  }
  put_double(&event, 1, wall_time);
  put_key(&event, 2, VARINT);
  put_varint(&event, (uint64_t)step);
  put_text(&event, 5, summary.data, summary.size);
  return write_record(err, path, &event, false);
}
