/* A second queue of a device, for the thread that hands device memory to MPI: a stream of its own in the device's
 * context, so that copies and sums run beside the commands. */
#include <stdlib.h>

#include "backend/cuda/internal.h"

typedef struct second_queue {
  gh_cuda_device device; /* first: what gh_cuda finds. Only what enqueue and finish need. */
  CUevent *points;
  int count;
} second_queue;

static second_queue *queue_of(const gh_device *beside) { return beside->impl; }

void *gh_cuda_address(const gh_buffer *buffer) { return (void *)(size_t)gh_cuda_at(buffer); }

gh_status gh_cuda_beside_open(gh_error *err, gh_device *d, int points, gh_device *beside) {
  const gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  *beside = (gh_device){.backend = d->backend, .info = d->info};
  second_queue *q = beside->impl = gh_alloc(err, 1, sizeof *q);
  if (!q) return GH_ERROR_MEMORY;
  q->device = (gh_cuda_device){.cu = cu, .id = device->id, .ordinal = device->ordinal, .context = device->context};
  if (!(q->points = gh_alloc(err, (size_t)GH_MAX(points, 1), sizeof *q->points))) return GH_ERROR_MEMORY;
  gh_status status = gh_cuda_enter_uncaptured(err, gh_cuda(d), "a second queue");
  if (status) return status;
  unsigned code = cu->cuStreamCreate(&q->device.stream, GH_CU_STREAM_NON_BLOCKING);
  for (; q->count < points && !code; q->count++) code = cu->cuEventCreate(&q->points[q->count], GH_CU_EVENT_NO_TIMING);
  return code ? gh_cuda_fail(err, cu, code, "%s: a second queue", device->id) : GH_OK;
}

void gh_cuda_beside_close(gh_device *beside) {
  gh_error ignored;
  second_queue *q = queue_of(beside);
  if (!q) return;
  const gh_cuda_driver *cu = q->device.cu;
  if (q->points && !gh_cuda_enter(&ignored, &q->device)) {
    if (q->device.stream) cu->cuStreamSynchronize(q->device.stream);
    for (int i = 0; i < q->count; i++)
      if (q->points[i]) cu->cuEventDestroy_v2(q->points[i]);
    if (q->device.stream) cu->cuStreamDestroy_v2(q->device.stream);
  }
  free(q->points);
  free(q);
  *beside = (gh_device){0};
}

gh_status gh_cuda_beside_point(gh_error *err, gh_device *d, gh_device *beside, int point) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_cuda_enter_uncaptured(err, device, "a point for a second queue");
  if (status) return status;
  const unsigned code = device->cu->cuEventRecord(queue_of(beside)->points[point], device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: a point for a second queue", device->id) : GH_OK;
}

gh_status gh_cuda_beside_follow(gh_error *err, gh_device *beside, int point) {
  second_queue *q = queue_of(beside);
  gh_status status = gh_cuda_enter(err, &q->device);
  if (status) return status;
  const unsigned code = q->device.cu->cuStreamWaitEvent(q->device.stream, q->points[point], 0);
  return code ? gh_cuda_fail(err, q->device.cu, code, "%s: a second queue", q->device.id) : GH_OK;
}
