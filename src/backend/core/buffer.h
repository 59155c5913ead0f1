/* Common to buffers and views of every backend, and the checks of their use. A backend's own buffer begins with a
 * gh_buffer. */
#ifndef GH_BACKEND_CORE_BUFFER_H
#define GH_BACKEND_CORE_BUFFER_H

#include "backend/backend.h"

struct gh_buffer {
  const gh_buffer *root; /* the allocation; the buffer itself if it is not a view */
  int64_t offset;        /* bytes from the start of the allocation */
  int64_t bytes;
  gh_counters *counters; /* the device's, of an allocation in its memory; else NULL */
};

/* A new allocation of so many bytes, and its end; they are counted. A view's end counts nothing. */
void gh_buffer_hold(gh_buffer *buffer, gh_device *d, int64_t bytes);
/* The same in the host's memory, whose bytes are not the device's. */
void gh_buffer_hold_on_host(gh_buffer *buffer, gh_device *d, int64_t bytes);
void gh_buffer_release(const gh_buffer *buffer);

int64_t gh_buffer_bytes(const gh_buffer *buffer);

/* Checks a size in bytes against the largest allocation of the device. */
gh_status gh_buffer_check_size(gh_error *err, const gh_device_info *info, int64_t bytes);

/* The same, and against what other buffers leave of the device's memory. */
gh_status gh_buffer_check_room(gh_error *err, const gh_device *d, int64_t bytes);

/* Checks [offset, offset + bytes) against a buffer; `buffer` NULL is also an error. */
gh_status gh_buffer_check_range(gh_error *err, const char *what, const gh_buffer *buffer, int64_t offset,
                                int64_t bytes);

/* Checks a view's range and alignment; *out gets its place in the allocation, also if the parent is a view. */
gh_status gh_buffer_check_view(gh_error *err, const gh_device *d, const gh_buffer *parent, int64_t offset,
                               int64_t bytes, gh_buffer *out);

/* Checks a fill, which writes whole words. */
gh_status gh_buffer_check_fill(gh_error *err, const gh_buffer *to, int64_t offset, int64_t bytes);

/* Checks both ranges of a copy, which must not overlap. */
gh_status gh_buffer_check_copy(gh_error *err, const gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                               int64_t from_offset, int64_t bytes);

/* Checks the batch of a transform and its buffers. The library checks the sides before this call. */
gh_status gh_buffer_check_fft(gh_error *err, const gh_fft_desc *desc, const gh_buffer *from, const gh_buffer *to);

#endif
