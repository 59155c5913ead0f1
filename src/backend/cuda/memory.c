/* Buffers, views of them, and transfers. */
#include <stdlib.h>

#include "backend/cuda/internal.h"
#include "base/log.h"

#define MIB 1048576.0

gh_status gh_cuda_allocate(gh_error *err, gh_cuda_device *device, int64_t bytes, const char *what, CUdeviceptr *out) {
  unsigned code = device->cu->cuMemAlloc_v2(out, (size_t)bytes);
  if (!code) return GH_OK;
  *out = 0;
  size_t available = 0, total = 0;
  if (code != GH_CU_OUT_OF_MEMORY || device->cu->cuMemGetInfo_v2(&available, &total))
    return gh_cuda_fail(err, device->cu, code, "%s: %s of %.1f MiB", device->id, what, (double)bytes / MIB);
  return gh_cuda_fail(err, device->cu, code, "%s: %s of %.1f MiB, but only %.1f MiB of %.1f MiB are free", device->id,
                      what, (double)bytes / MIB, (double)available / MIB, (double)total / MIB);
}

gh_status gh_cuda_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_room(err, d, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, gh_cuda(d), "memory is allocated");
  if (status) return status;
  gh_cuda_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  status = gh_cuda_allocate(err, gh_cuda(d), bytes, "a buffer", &buffer->at);
  if (status) {
    free(buffer);
    return status;
  }
  buffer->device = gh_cuda(d);
  gh_buffer_hold(&buffer->base, d, bytes);
  *out = &buffer->base;
  return GH_OK;
}

/* With unified addressing, which every 64-bit system has, pinned memory has one address for the host and kernels. */
gh_status gh_cuda_host_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  gh_cuda_device *device = gh_cuda(d);
  void *at = NULL;
  *out = NULL;
  gh_status status = gh_buffer_check_size(err, &d->info, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "memory is allocated");
  if (status) return status;
  gh_cuda_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  unsigned code = device->cu->cuMemHostAlloc(&at, (size_t)bytes, 0);
  if (code) {
    free(buffer);
    return gh_cuda_fail(err, device->cu, code, "%s: pinned memory of %.1f MiB", device->id, (double)bytes / MIB);
  }
  buffer->device = device;
  buffer->at = (CUdeviceptr)(size_t)at;
  buffer->on_host = true;
  gh_buffer_hold_on_host(&buffer->base, d, bytes);
  *out = &buffer->base;
  return GH_OK;
}

static void memory_free(const gh_cuda_buffer *buffer) {
  const gh_cuda_driver *cu = buffer->device->cu;
  if (buffer->on_host)
    cu->cuMemFreeHost((void *)(size_t)buffer->at);
  else
    cu->cuMemFree_v2(buffer->at);
}

gh_status gh_cuda_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                              gh_buffer **out) {
  *out = NULL;
  gh_buffer place;
  gh_status status = gh_buffer_check_view(err, d, parent, offset, bytes, &place);
  if (status) return status;
  gh_cuda_buffer *view = gh_alloc(err, 1, sizeof *view);
  if (!view) return GH_ERROR_MEMORY;
  *view = (gh_cuda_buffer){.base = place, .device = gh_cuda(d), .at = gh_cuda_at(parent) + (CUdeviceptr)offset};
  d->counters.allocations++;
  *out = &view->base;
  return GH_OK;
}

void gh_cuda_buffer_free(gh_buffer *buffer) {
  if (!buffer) return;
  gh_error ignored;
  const gh_cuda_buffer *own = (const gh_cuda_buffer *)buffer;
  if (buffer->root == buffer && !gh_cuda_enter(&ignored, own->device)) memory_free(own);
  gh_buffer_release(buffer);
  free(buffer);
}

gh_status gh_cuda_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_buffer_check_range(err, "write", to, offset, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a write");
  if (status) return status;
  d->counters.writes++;
  unsigned code =
      device->cu->cuMemcpyHtoDAsync_v2(gh_cuda_at(to) + (CUdeviceptr)offset, from, (size_t)bytes, device->stream);
  if (!code) code = device->cu->cuStreamSynchronize(device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: writing %lld bytes", device->id, (long long)bytes) : GH_OK;
}

gh_status gh_cuda_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_buffer_check_range(err, "read", from, offset, bytes);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a read");
  if (status) return status;
  d->counters.reads++;
  unsigned code =
      device->cu->cuMemcpyDtoHAsync_v2(to, gh_cuda_at(from) + (CUdeviceptr)offset, (size_t)bytes, device->stream);
  if (!code) code = device->cu->cuStreamSynchronize(device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: reading %lld bytes", device->id, (long long)bytes) : GH_OK;
}

/* ---- sends ----
 *
 * A small send is a copy from pinned memory in the queue of commands. A large one would block that queue during the
 * transfer over the bus. So it is transferred on a separate queue, parallel to earlier commands, to a landing buffer on
 * the device. The queue of commands waits for the transfer and copies the data to its destination, at the speed of
 * device memory. */

#define LARGE_SEND (INT64_C(256) << 10)

typedef struct staging {
  gh_staging base;     /* in pinned memory */
  CUdeviceptr landing; /* 0: sent directly to its destination */
  CUevent landed, done;
} staging;

static gh_status staging_enter(gh_error *err, gh_device *d, const char *what) {
  return gh_cuda_enter_uncaptured(err, gh_cuda(d), what);
}

static void staging_free(gh_device *d, gh_staging *piece) {
  const gh_cuda_driver *cu = gh_cuda(d)->cu;
  staging *s = (staging *)piece;
  if (s->landing) cu->cuMemFree_v2(s->landing);
  if (s->landed) cu->cuEventDestroy_v2(s->landed);
  if (s->done) cu->cuEventDestroy_v2(s->done);
  if (piece->memory) cu->cuMemFreeHost(piece->memory);
  free(s);
}

static gh_status staging_create(gh_error *err, gh_device *d, int64_t bytes, gh_staging **out) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  staging *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  unsigned code = cu->cuMemHostAlloc(&s->base.memory, (size_t)bytes, 0);
  if (!code) code = cu->cuEventCreate(&s->landed, GH_CU_EVENT_NO_TIMING);
  if (!code) code = cu->cuEventCreate(&s->done, GH_CU_EVENT_NO_TIMING);
  if (code) {
    staging_free(d, &s->base);
    return gh_cuda_fail(err, cu, code, "%s: pinned memory of %.1f MiB", device->id, (double)bytes / MIB);
  }
  gh_error why = {0};
  if (bytes > LARGE_SEND && gh_cuda_allocate(&why, device, bytes, "a landing buffer", &s->landing))
    gh_debug("%s: sends wait for the previous step", why.text);
  *out = &s->base;
  return GH_OK;
}

static gh_status staging_poll(gh_error *err, gh_device *d, gh_staging *piece) {
  const gh_cuda_device *device = gh_cuda(d);
  unsigned code = device->cu->cuEventQuery(((staging *)piece)->done);
  if (code == GH_CU_NOT_READY) return GH_OK;
  if (code) return gh_cuda_fail(err, device->cu, code, "%s: sending %lld bytes", device->id, (long long)piece->bytes);
  piece->busy = false;
  return GH_OK;
}

static gh_status staging_wait(gh_error *err, gh_device *d, gh_staging *piece) {
  const gh_cuda_device *device = gh_cuda(d);
  unsigned code = device->cu->cuEventSynchronize(((staging *)piece)->done);
  if (code) return gh_cuda_fail(err, device->cu, code, "%s: waiting for a send", device->id);
  piece->busy = false;
  return GH_OK;
}

static gh_status staging_enqueue(gh_error *err, gh_device *d, gh_staging *piece, gh_buffer *buffer, int64_t offset,
                                 int64_t size) {
  const gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  const staging *s = (const staging *)piece;
  const CUdeviceptr to = gh_cuda_at(buffer) + (CUdeviceptr)offset;
  const size_t bytes = (size_t)size;
  unsigned code;
  if (!s->landing) {
    code = cu->cuMemcpyHtoDAsync_v2(to, piece->memory, bytes, device->stream);
  } else {
    code = cu->cuMemcpyHtoDAsync_v2(s->landing, piece->memory, bytes, device->copies);
    if (!code) code = cu->cuEventRecord(s->landed, device->copies);
    if (!code) code = cu->cuStreamWaitEvent(device->stream, s->landed, 0);
    if (!code) code = cu->cuMemcpyDtoDAsync_v2(to, s->landing, bytes, device->stream);
  }
  if (!code) code = cu->cuEventRecord(s->done, device->stream);
  return code ? gh_cuda_fail(err, cu, code, "%s: sending %lld bytes", device->id, (long long)size) : GH_OK;
}

const gh_staging_kind gh_cuda_staging_kind = {.enter = staging_enter,
                                              .create = staging_create,
                                              .free = staging_free,
                                              .poll = staging_poll,
                                              .wait = staging_wait,
                                              .enqueue = staging_enqueue};

gh_status gh_cuda_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count) {
  return gh_staging_reserve(err, d, &gh_cuda(d)->staging, bytes, count);
}

gh_status gh_cuda_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  return gh_staging_send(err, d, &gh_cuda(d)->staging, to, offset, from, bytes);
}
