#include "train/tfevents.h"
#include "base/array.h"
#include "base/build.h"
#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VERSION     "brain.Event:2"
#define MAX_SCALARS 32
#define MAX_TAG     64
#define BUCKETS     30 /* of a histogram */

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

/* A message under construction; little endian on every machine. The first failure is kept. */
typedef struct gh_bytes {
  unsigned char *data;
  size_t size, capacity;
  gh_error err;
} gh_bytes;

static void put(gh_bytes *b, const void *bytes, size_t size) {
  if (b->err.status || GH_ARRAY_RESERVE(&b->err, b->data, b->capacity, b->size, size)) return;
  memcpy(b->data + b->size, bytes, size);
  b->size += size;
}

static void put_byte(gh_bytes *b, unsigned char byte) { put(b, &byte, 1); }

static void put_fixed(gh_bytes *b, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) put_byte(b, (unsigned char)(value >> 8 * i));
}

/* Frees the event. */
static gh_status write_record(gh_error *err, const char *path, gh_bytes *event, bool anew) {
  gh_bytes record = {.size = 0};
  gh_status status = event->err.status;
  if (status) *err = event->err;
  if (!status) {
    put_fixed(&record, event->size, 8);
    put_fixed(&record, gh_masked_crc32c(record.data, record.size), 4);
    put(&record, event->data, event->size);
    put_fixed(&record, gh_masked_crc32c(event->data, event->size), 4);
    if ((status = record.err.status)) *err = record.err;
  }
  if (!status)
    status =
        anew ? gh_file_write(err, path, record.data, record.size) : gh_file_append(err, path, record.data, record.size);
  free(record.data);
  free(event->data);
  return status;
}

/* ---- protobuf ---- */

enum { VARINT = 0, DOUBLE = 1, BYTES = 2, FLOAT = 5 }; /* wire types */

static void put_varint(gh_bytes *b, uint64_t value) {
  for (; value >= 128; value >>= 7) put_byte(b, (unsigned char)(value | 128));
  put_byte(b, (unsigned char)value);
}

static void put_key(gh_bytes *b, int field, int wire) { put_varint(b, (uint64_t)(field << 3 | wire)); }

static void put_number(gh_bytes *b, int field, uint64_t value) {
  put_key(b, field, VARINT);
  put_varint(b, value);
}

static void put_bits(gh_bytes *b, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_fixed(b, bits, 8);
}

static void put_double(gh_bytes *b, int field, double value) {
  put_key(b, field, DOUBLE);
  put_bits(b, value);
}

static void put_text(gh_bytes *b, int field, const void *bytes, size_t size) {
  put_key(b, field, BYTES);
  put_varint(b, size);
  put(b, bytes, size);
}

/* A message as a field of another; frees it. */
static void put_message(gh_bytes *b, int field, gh_bytes *message) {
  if (message->err.status && !b->err.status) b->err = message->err;
  put_text(b, field, message->data, message->size);
  free(message->data);
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
  put_message(summary, 1, &value);
}

/* Event: wall_time = 1, step = 2, file_version = 3, summary = 5. */

gh_status gh_tfevents_begin(gh_error *err, const char *path, double wall_time) {
  gh_bytes event = {.size = 0};
  put_double(&event, 1, wall_time);
  put_text(&event, 3, VERSION, strlen(VERSION));
  return write_record(err, path, &event, true);
}

/* Frees the summary. */
static gh_status add_summary(gh_error *err, const char *path, double wall_time, int64_t step, gh_bytes *summary) {
  gh_bytes event = {.size = 0};
  put_double(&event, 1, wall_time);
  if (step) put_number(&event, 2, (uint64_t)step); /* proto3 leaves zeros out */
  put_message(&event, 5, summary);
  return write_record(err, path, &event, false);
}

gh_status gh_tfevents_add(gh_error *err, const char *path, double wall_time, int64_t step, const gh_scalar *scalars,
                          size_t count) {
  gh_bytes summary = {.size = 0};
  if (count > MAX_SCALARS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %zu scalars in one event, at most %d", path, count, MAX_SCALARS);
  for (size_t i = 0; i < count; i++)
    if (strlen(scalars[i].tag) >= MAX_TAG)
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: the tag %s is too long", path, scalars[i].tag);
  for (size_t i = 0; i < count; i++) put_scalar(&summary, &scalars[i]);
  return add_summary(err, path, wall_time, step, &summary);
}

/* The value's tag; the caller adds what it is. */
static gh_bytes begin_value(const char *tag) {
  gh_bytes value = {.size = 0};
  put_text(&value, 1, tag, strlen(tag));
  return value;
}

static gh_status add_value(gh_error *err, const char *path, double wall_time, int64_t step, gh_bytes *value) {
  gh_bytes summary = {.size = 0};
  put_message(&summary, 1, value);
  return add_summary(err, path, wall_time, step, &summary);
}

/* tensor = 8: dtype = 1 (DT_STRING), tensor_shape = 2 (one dimension of size 1), string_val = 8; metadata = 9:
 * plugin_data = 1, with plugin_name = 1. */
gh_status gh_tfevents_text(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                           const char *text) {
  gh_bytes value = begin_value(tag), tensor = {.size = 0}, shape = {.size = 0}, dim = {.size = 0};
  gh_bytes metadata = {.size = 0}, plugin = {.size = 0};
  put_number(&dim, 1, 1);
  put_message(&shape, 2, &dim);
  put_number(&tensor, 1, 7);
  put_message(&tensor, 2, &shape);
  put_text(&tensor, 8, text, strlen(text));
  put_message(&value, 8, &tensor);
  put_text(&plugin, 1, "text", strlen("text"));
  put_message(&metadata, 1, &plugin);
  put_message(&value, 9, &metadata);
  return add_value(err, path, wall_time, step, &value);
}

/* image = 4: height = 1, width = 2, colorspace = 3 (RGB), encoded_image_string = 4. */
gh_status gh_tfevents_image(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                            const void *png, size_t size, int width, int height) {
  gh_bytes value = begin_value(tag), image = {.size = 0};
  put_number(&image, 1, (uint64_t)height);
  put_number(&image, 2, (uint64_t)width);
  put_number(&image, 3, 3);
  put_text(&image, 4, png, size);
  put_message(&value, 4, &image);
  return add_value(err, path, wall_time, step, &value);
}

/* Buckets of equal width; bucket i ends at limit[i]. */
static void put_buckets(gh_bytes *histogram, const double *values, size_t count, double least, double most) {
  const double width = (most - least) / BUCKETS;
  double counts[BUCKETS] = {0};
  gh_bytes limits = {.size = 0}, filled = {.size = 0};
  for (size_t i = 0; i < count; i++) {
    const double at = width > 0 ? (values[i] - least) / width : 0;
    counts[at >= BUCKETS ? BUCKETS - 1 : (int)at]++;
  }
  for (int i = 0; i < BUCKETS; i++) {
    put_bits(&limits, i + 1 < BUCKETS ? least + (i + 1) * width : most);
    put_bits(&filled, counts[i]);
  }
  put_message(histogram, 6, &limits);
  put_message(histogram, 7, &filled);
}

/* histo = 5: min = 1, max = 2, num = 3, sum = 4, sum_squares = 5, bucket_limit = 6, bucket = 7. */
gh_status gh_tfevents_histogram(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                                const double *values, size_t count) {
  double least = INFINITY, most = -INFINITY, sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) {
    if (!isfinite(values[i]))
      return gh_fail(err, GH_ERROR_NUMERIC, "%s: %s has a number that is not finite", path, tag);
    least = fmin(least, values[i]);
    most = fmax(most, values[i]);
    sum += values[i];
    squares += values[i] * values[i];
  }
  if (!count) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %s has no numbers", path, tag);
  gh_bytes value = begin_value(tag), histogram = {.size = 0};
  put_double(&histogram, 1, least);
  put_double(&histogram, 2, most);
  put_double(&histogram, 3, (double)count);
  put_double(&histogram, 4, sum);
  put_double(&histogram, 5, squares);
  put_buckets(&histogram, values, count, least, most);
  put_message(&value, 5, &histogram);
  return add_value(err, path, wall_time, step, &value);
}
