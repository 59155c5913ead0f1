/* Buffers, views of them, and transfers. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/internal.h"
#include "backend/limits.h"
#include "base/log.h"

#define MIB 1048576.0

static int64_t whole(const gh_buffer *buffer) { return buffer ? buffer->bytes : -1; }

gh_status gh_cuda_allocate(gh_error *err, gh_cuda_device *device, int64_t bytes, const char *what, CUdeviceptr *out) {
  unsigned code = device->cu->cuMemAlloc_v2(out, (size_t)bytes);
  if (!code) return GH_OK;
  *out = 0;
  size_t available = 0, total = 0;
  if (code != GH_CU_OUT_OF_MEMORY || device->cu->cuMemGetInfo_v2(&available, &total))
    return gh_cuda_fail(err, device->cu, code, "%s: %s of %.1f MiB", device->id, what, (double)bytes / MIB);
  return gh_cuda_fail(err, device->cu, code, "%s: %s of %.1f MiB, where %.1f MiB of %.1f MiB are free", device->id,
                      what, (double)bytes / MIB, (double)available / MIB, (double)total / MIB);
}

gh_status gh_cuda_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  *out = NULL;
  gh_status status = gh_limit_check_size(err, &d->info, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, gh_cuda(d), "memory is allocated");
  if (status) return status;
  gh_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  status = gh_cuda_allocate(err, gh_cuda(d), bytes, "a buffer", &buffer->root);
  if (status) {
    free(buffer);
    return status;
  }
  d->counters.allocations++;
  buffer->device = gh_cuda(d);
  buffer->at = buffer->root;
  buffer->bytes = bytes;
  *out = buffer;
  return GH_OK;
}

gh_status gh_cuda_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                              gh_buffer **out) {
  *out = NULL;
  gh_status status = gh_limit_check_range(err, "view", whole(parent), offset, bytes);
  if (status) return status;
  if (offset % d->info.alignment_bytes)
    return gh_fail(err, GH_ERROR_ARGUMENT, "view: offset %lld is no multiple of %lld", (long long)offset,
                   (long long)d->info.alignment_bytes);
  gh_buffer *view = gh_alloc(err, 1, sizeof *view);
  if (!view) return GH_ERROR_MEMORY;
  *view = *parent;
  view->at += (CUdeviceptr)offset;
  view->bytes = bytes;
  view->is_view = true;
  d->counters.allocations++;
  *out = view;
  return GH_OK;
}

void gh_cuda_buffer_free(gh_buffer *buffer) {
  if (!buffer) return;
  gh_error ignored;
  if (!buffer->is_view && !gh_cuda_enter(&ignored, buffer->device)) buffer->device->cu->cuMemFree_v2(buffer->root);
  free(buffer);
}

int64_t gh_cuda_buffer_bytes(const gh_buffer *buffer) { return buffer->bytes; }

gh_status gh_cuda_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_limit_check_range(err, "write", whole(to), offset, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a write");
  if (status) return status;
  d->counters.writes++;
  unsigned code = device->cu->cuMemcpyHtoDAsync_v2(to->at + (CUdeviceptr)offset, from, (size_t)bytes, device->stream);
  if (!code) code = device->cu->cuStreamSynchronize(device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: writing %lld bytes", device->id, (long long)bytes) : GH_OK;
}

gh_status gh_cuda_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_limit_check_range(err, "read", whole(from), offset, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a read");
  if (status) return status;
  d->counters.reads++;
  unsigned code = device->cu->cuMemcpyDtoHAsync_v2(to, from->at + (CUdeviceptr)offset, (size_t)bytes, device->stream);
  if (!code) code = device->cu->cuStreamSynchronize(device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: reading %lld bytes", device->id, (long long)bytes) : GH_OK;
}

/* ---- sends ----
 * A small one is a copy from pinned memory in the queue of commands. A large one would hold that queue up while it
 * crosses the bus, so it crosses on a queue of its own, beside the commands before it, to a landing place; what the
 * queue of commands does is wait for it there and copy it on, at the speed of device memory. */

#define LARGE_SEND (INT64_C(256) << 10)

static void staging_free(const gh_cuda_device *device, gh_cuda_staging *s) {
  if (s->landing) device->cu->cuMemFree_v2(s->landing);
  if (s->landed) device->cu->cuEventDestroy_v2(s->landed);
  if (s->done) device->cu->cuEventDestroy_v2(s->done);
  if (s->memory) device->cu->cuMemFreeHost(s->memory);
  free(s);
}

void gh_cuda_staging_free(gh_cuda_device *device) {
  while (device->staging) {
    gh_cuda_staging *next = device->staging->next;
    staging_free(device, device->staging);
    device->staging = next;
  }
}

static gh_status new_staging(gh_error *err, gh_device *d, int64_t bytes, gh_cuda_staging **out) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  gh_cuda_staging *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  unsigned code = cu->cuMemHostAlloc(&s->memory, (size_t)bytes, 0);
  if (!code) code = cu->cuEventCreate(&s->landed, GH_CU_EVENT_NO_TIMING);
  if (!code) code = cu->cuEventCreate(&s->done, GH_CU_EVENT_NO_TIMING);
  if (code) {
    staging_free(device, s);
    return gh_cuda_fail(err, cu, code, "%s: pinned memory of %.1f MiB", device->id, (double)bytes / MIB);
  }
  gh_error why = {0};
  if (bytes > LARGE_SEND && gh_cuda_allocate(&why, device, bytes, "a landing place", &s->landing))
    gh_debug("%s: sends wait for the step before them", why.text);
  d->counters.allocations++;
  s->bytes = bytes;
  s->next = device->staging;
  *out = device->staging = s;
  return GH_OK;
}

/* Free staging memory of that size; beyond GH_SENDS_BYTES the oldest send is waited for. */
static gh_status take_staging(gh_error *err, gh_device *d, int64_t bytes, gh_cuda_staging **out) {
  gh_cuda_device *device = gh_cuda(d);
  gh_cuda_staging *oldest = NULL;
  int64_t held = 0;
  unsigned code = 0;
  *out = NULL;
  for (gh_cuda_staging *s = device->staging; s; s = s->next) {
    if (s->busy && (code = device->cu->cuEventQuery(s->done)) != GH_CU_NOT_READY) {
      if (code) return gh_cuda_fail(err, device->cu, code, "%s: sending %lld bytes", device->id, (long long)s->bytes);
      s->busy = false;
    }
    held += s->bytes;
    if (s->bytes != bytes) continue;
    if (!s->busy) *out = s;
    if (s->busy && (!oldest || s->order < oldest->order)) oldest = s;
  }
  if (*out) return GH_OK;
  if (!oldest || held + bytes <= GH_SENDS_BYTES) return new_staging(err, d, bytes, out);
  d->counters.waits++;
  code = device->cu->cuEventSynchronize(oldest->done);
  if (code) return gh_cuda_fail(err, device->cu, code, "%s: waiting for a send", device->id);
  oldest->busy = false;
  *out = oldest;
  return GH_OK;
}

gh_status gh_cuda_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count) {
  const int64_t size = gh_staging_bytes(bytes);
  int64_t held = 0;
  gh_status status = gh_cuda_enter_uncaptured(err, gh_cuda(d), "staging memory is allocated");
  for (const gh_cuda_staging *s = gh_cuda(d)->staging; s; s = s->next) {
    held += s->bytes;
    if (s->bytes == size) count--;
  }
  for (gh_cuda_staging *s; count > 0 && held + size <= GH_SENDS_BYTES && !status; count--, held += size)
    status = new_staging(err, d, size, &s);
  return status;
}

static unsigned enqueue_send(const gh_cuda_device *device, gh_cuda_staging *s, CUdeviceptr to, size_t bytes) {
  const gh_cuda_driver *cu = device->cu;
  unsigned code;
  if (!s->landing) {
    code = cu->cuMemcpyHtoDAsync_v2(to, s->memory, bytes, device->stream);
  } else {
    code = cu->cuMemcpyHtoDAsync_v2(s->landing, s->memory, bytes, device->copies);
    if (!code) code = cu->cuEventRecord(s->landed, device->copies);
    if (!code) code = cu->cuStreamWaitEvent(device->stream, s->landed, 0);
    if (!code) code = cu->cuMemcpyDtoDAsync_v2(to, s->landing, bytes, device->stream);
  }
  return code ? code : cu->cuEventRecord(s->done, device->stream);
}

gh_status gh_cuda_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_cuda_device *device = gh_cuda(d);
  gh_cuda_staging *s = NULL;
  gh_status status = gh_limit_check_range(err, "send", whole(to), offset, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a send");
  if (!status) status = take_staging(err, d, gh_staging_bytes(bytes), &s);
  if (status) return status;
  memcpy(s->memory, from, (size_t)bytes);
  s->order = ++d->counters.sends;
  s->busy = true;
  unsigned code = enqueue_send(device, s, to->at + (CUdeviceptr)offset, (size_t)bytes);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: sending %lld bytes", device->id, (long long)bytes) : GH_OK;
}
