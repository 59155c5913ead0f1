/* TensorBoard event files, written without a library. Each event is a TFRecord (length, masked crc32c, bytes, masked
 * crc32c) that holds a protobuf `Event` with a `Summary`. TensorBoard reads the folder that contains
 * them. */
#ifndef GH_TRAIN_TFEVENTS_H
#define GH_TRAIN_TFEVENTS_H

#include "base/status.h"

typedef struct gh_scalar {
  const char *tag; /* "stage1/loss" */
  double value;    /* kept as float32 */
} gh_scalar;

/* crc32c (Castagnoli) of the bytes, as TFRecord masks it. */
uint32_t gh_masked_crc32c(const void *bytes, size_t size);

/* Creates or truncates the file and writes the record with the format's version. */
gh_status gh_tfevents_begin(gh_error *err, const char *path, double wall_time);
/* Appends an event in one write. wall_time: seconds since 1970. Tags are shorter than 64 bytes, scalars at most 32. */
gh_status gh_tfevents_add(gh_error *err, const char *path, double wall_time, int64_t step, const gh_scalar *scalars,
                          size_t count);
/* One text, picture (a PNG file's bytes, RGB) or histogram of finite numbers, count >= 1, in one event. */
gh_status gh_tfevents_text(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                           const char *text);
gh_status gh_tfevents_image(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                            const void *png, size_t size, int width, int height);
gh_status gh_tfevents_histogram(gh_error *err, const char *path, double wall_time, int64_t step, const char *tag,
                                const double *values, size_t count);

#endif
