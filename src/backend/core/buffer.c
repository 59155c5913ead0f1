#include "backend/core/buffer.h"

void gh_buffer_hold(gh_buffer *buffer, gh_device *d, int64_t bytes) {
  gh_counters *c = &d->counters;
  *buffer = (gh_buffer){.root = buffer, .bytes = bytes, .counters = c};
  c->allocations++;
  c->held_bytes += bytes;
  c->peak_bytes = GH_MAX(c->peak_bytes, c->held_bytes);
}

void gh_buffer_hold_on_host(gh_buffer *buffer, gh_device *d, int64_t bytes) {
  *buffer = (gh_buffer){.root = buffer, .bytes = bytes};
  d->counters.allocations++;
}

void gh_buffer_release(const gh_buffer *buffer) {
  if (buffer->counters) buffer->counters->held_bytes -= buffer->bytes;
}

int64_t gh_buffer_bytes(const gh_buffer *buffer) { return buffer->bytes; }

gh_status gh_buffer_check_size(gh_error *err, const gh_device_info *info, int64_t bytes) {
  if (bytes < 1) return gh_fail(err, GH_ERROR_ARGUMENT, "a buffer of %lld bytes", (long long)bytes);
  if (bytes <= info->max_buffer_bytes) return GH_OK;
  return gh_fail(err, GH_ERROR_MEMORY, "a buffer of %.1f MiB, but %s allows at most %.1f MiB per buffer",
                 (double)bytes / 1048576, info->id, (double)info->max_buffer_bytes / 1048576);
}

gh_status gh_buffer_check_room(gh_error *err, const gh_device *d, int64_t bytes) {
  const int64_t left = d->info.memory_bytes - d->counters.held_bytes;
  gh_status status = gh_buffer_check_size(err, &d->info, bytes);
  if (status || bytes <= left) return status;
  return gh_fail(err, GH_ERROR_MEMORY, "a buffer of %.1f MiB, but only %.1f of %.1f MiB are left on %s",
                 (double)bytes / 1048576, (double)left / 1048576, (double)d->info.memory_bytes / 1048576, d->info.id);
}

gh_status gh_buffer_check_range(gh_error *err, const char *what, const gh_buffer *buffer, int64_t offset,
                                int64_t bytes) {
  if (!buffer) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no buffer", what);
  if (offset >= 0 && bytes > 0 && offset <= buffer->bytes && bytes <= buffer->bytes - offset) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %lld bytes at %lld of a buffer of %lld", what, (long long)bytes,
                 (long long)offset, (long long)buffer->bytes);
}

gh_status gh_buffer_check_view(gh_error *err, const gh_device *d, const gh_buffer *parent, int64_t offset,
                               int64_t bytes, gh_buffer *out) {
  gh_status status = gh_buffer_check_range(err, "view", parent, offset, bytes);
  if (status) return status;
  if (offset % d->info.alignment_bytes)
    return gh_fail(err, GH_ERROR_ARGUMENT, "view: offset %lld is not a multiple of %lld", (long long)offset,
                   (long long)d->info.alignment_bytes);
  *out = (gh_buffer){.root = parent->root, .offset = parent->offset + offset, .bytes = bytes};
  return GH_OK;
}

gh_status gh_buffer_check_fill(gh_error *err, const gh_buffer *to, int64_t offset, int64_t bytes) {
  gh_status status = gh_buffer_check_range(err, "fill", to, offset, bytes);
  if (status || (offset % 4 == 0 && bytes % 4 == 0)) return status;
  return gh_fail(err, GH_ERROR_ARGUMENT, "fill: %lld bytes at %lld: not whole words", (long long)bytes,
                 (long long)offset);
}

gh_status gh_buffer_check_copy(gh_error *err, const gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                               int64_t from_offset, int64_t bytes) {
  gh_status status = gh_buffer_check_range(err, "copy to", to, to_offset, bytes);
  if (!status) status = gh_buffer_check_range(err, "copy from", from, from_offset, bytes);
  if (status) return status;
  const int64_t a = to->offset + to_offset, b = from->offset + from_offset;
  if (to->root != from->root || a >= b + bytes || b >= a + bytes) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "copy: %lld bytes at %lld and at %lld overlap", (long long)bytes, (long long)b,
                 (long long)a);
}

gh_status gh_buffer_check_fft(gh_error *err, const gh_fft_desc *desc, const gh_buffer *from, const gh_buffer *to) {
  if (desc->batch < 1 || desc->batch > INT64_MAX / 8 / desc->rows / desc->columns)
    return gh_fail(err, GH_ERROR_ARGUMENT, "fft: a batch of %lld", (long long)desc->batch);
  const int64_t bytes = 8 * desc->batch * desc->rows * desc->columns;
  gh_status status = gh_buffer_check_range(err, "fft from", from, 0, bytes);
  return status ? status : gh_buffer_check_range(err, "fft to", to, 0, bytes);
}
