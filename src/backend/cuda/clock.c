/* The device's own clock: events of the stream. */
#include "backend/cuda/internal.h"

gh_status gh_cuda_mark(gh_error *err, gh_device *d, int which) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  gh_status status = gh_cuda_enter_uncaptured(err, device, "a mark of the clock");
  if (status) return status;
  if (!cu->cuEventElapsedTime) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: the driver has no clock", device->id);
  unsigned code = 0;
  if (!device->marks[which]) code = cu->cuEventCreate(&device->marks[which], GH_CU_EVENT_DEFAULT);
  if (!code) code = cu->cuEventRecord(device->marks[which], device->stream);
  return code ? gh_cuda_fail(err, cu, code, "%s: a mark of the clock", device->id) : GH_OK;
}

gh_status gh_cuda_elapsed(gh_error *err, gh_device *d, double *seconds) {
  gh_cuda_device *device = gh_cuda(d);
  float milliseconds = 0;
  gh_status status = gh_cuda_finish(err, d);
  if (status) return status;
  unsigned code = device->cu->cuEventElapsedTime(&milliseconds, device->marks[0], device->marks[1]);
  *seconds = 1e-3 * (double)milliseconds;
  return code ? gh_cuda_fail(err, device->cu, code, "%s: reading the clock", device->id) : GH_OK;
}

void gh_cuda_clock_free(gh_cuda_device *device) {
  for (int i = 0; i < 2; i++)
    if (device->marks[i]) device->cu->cuEventDestroy_v2(device->marks[i]);
}
