/* What buffers and views have in common on every backend, and the checks of what is done with them. A backend's own
 * buffer begins with a gh_buffer. */
#ifndef GH_BACKEND_CORE_BUFFER_H
#define GH_BACKEND_CORE_BUFFER_H

#include "backend/backend.h"

struct gh_buffer {
  const gh_buffer *root; /* the allocation; the buffer itself where it is no view */
  int64_t offset;        /* bytes from the start of the allocation */
  int64_t bytes;
};

int64_t gh_buffer_bytes(const gh_buffer *buffer);

/* A size in bytes against what the device gives at once. */
gh_status gh_check_size(gh_error *err, const gh_device_info *info, int64_t bytes);

/* [offset, offset + bytes) against a buffer; `buffer` NULL is an error too. */
gh_status gh_check_range(gh_error *err, const char *what, const gh_buffer *buffer, int64_t offset, int64_t bytes);

/* A view's range and alignment; *out is then its place in the allocation, whether the parent is a view or not. */
gh_status gh_check_view(gh_error *err, const gh_device *d, const gh_buffer *parent, int64_t offset, int64_t bytes,
                        gh_buffer *out);

/* A fill writes whole words. */
gh_status gh_check_fill(gh_error *err, const gh_buffer *to, int64_t offset, int64_t bytes);

/* Both ranges of a copy, which must not overlap. */
gh_status gh_check_copy(gh_error *err, const gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                        int64_t from_offset, int64_t bytes);

/* The batch of a transform and its buffers. The sides are the library's to check, before this. */
gh_status gh_check_fft(gh_error *err, const gh_fft_desc *desc, const gh_buffer *from, const gh_buffer *to);

#endif
