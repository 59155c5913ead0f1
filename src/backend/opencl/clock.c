/* The device's own clock. A queue that times its commands can be slower, so it is used between two marks only. */
#include "backend/opencl/opencl.h"

static void release_marks(gh_cl_device *device) {
  for (int i = 0; i < 2; i++) {
    if (device->marks[i]) clReleaseEvent(device->marks[i]);
    device->marks[i] = NULL;
  }
}

/* The queue without a clock is the device's again. */
static void put_back(gh_cl_device *device) {
  if (device->plain) device->queue = device->plain;
  device->plain = NULL;
  release_marks(device);
}

static gh_status use_timed(gh_error *err, gh_device *d, gh_cl_device *device) {
  cl_int code = CL_SUCCESS;
  put_back(device);
  if (!device->timed)
    device->timed = clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
  if (code != CL_SUCCESS) {
    device->timed = NULL;
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s has no queue that times its commands (%d)", d->info.id, (int)code);
  }
  gh_status status = gh_cl_finish(err, d);
  device->plain = device->queue;
  device->queue = device->timed;
  return status;
}

gh_status gh_cl_mark(gh_error *err, gh_device *d, int which) {
  gh_cl_device *device = gh_cl(d);
  gh_status status = which ? GH_OK : use_timed(err, d, device);
  if (status) return status;
  cl_int code = clEnqueueMarkerWithWaitList(device->queue, 0, NULL, &device->marks[which]);
  if (code == CL_SUCCESS) return GH_OK;
  put_back(device);
  return gh_cl_fail(err, code, "%s: a mark of the clock", d->info.id);
}

gh_status gh_cl_elapsed(gh_error *err, gh_device *d, double *seconds) {
  gh_cl_device *device = gh_cl(d);
  cl_ulong at[2] = {0, 0};
  gh_status status = gh_cl_finish(err, d);
  for (int i = 0; i < 2 && !status; i++)
    if (clGetEventProfilingInfo(device->marks[i], CL_PROFILING_COMMAND_END, sizeof at[i], &at[i], NULL) != CL_SUCCESS)
      status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s does not time marks", d->info.id);
  put_back(device);
  if (!status && at[1] <= at[0]) status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: its clock stands still", d->info.id);
  *seconds = 1e-9 * (double)(at[1] - at[0]);
  return status;
}

void gh_cl_clock_free(gh_cl_device *device) {
  put_back(device);
  if (device->timed) clReleaseCommandQueue(device->timed);
  device->timed = NULL;
}
