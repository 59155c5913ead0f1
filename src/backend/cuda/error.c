/* The texts of the driver's error codes, and the context that every call needs. */
#include <stdio.h>

#include "backend/cuda/internal.h"

gh_status gh_cuda_fail(gh_error *err, const gh_cuda_driver *cu, unsigned code, const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  const char *name = NULL;
  if (cu->cuGetErrorName(code, &name) || !name) name = "CUDA error";
  return gh_fail(err, code == GH_CU_OUT_OF_MEMORY ? GH_ERROR_MEMORY : GH_ERROR_DEVICE, "%s: %s (%u)", what, name, code);
}

gh_status gh_cuda_enter(gh_error *err, gh_cuda_device *device) {
  unsigned code = device->cu->cuCtxSetCurrent(device->context);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: its context", device->id) : GH_OK;
}

gh_status gh_cuda_enter_uncaptured(gh_error *err, gh_cuda_device *device, const char *what) {
  if (device->capturing)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %s while commands are being captured", device->id, what);
  return gh_cuda_enter(err, device);
}
