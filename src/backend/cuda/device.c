/* CUDA devices: enumeration, facts, contexts and streams; the backend's table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/internal.h"
#include "backend/limits.h"
#include "base/log.h"

#define ALIGNMENT 512 /* of views; the driver's own allocations are at multiples of it */

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

/* ---- facts ---- */

static int attribute(const gh_cuda_driver *cu, unsigned which, int device) {
  int value = 0;
  return cu->cuDeviceGetAttribute(&value, which, device) ? 0 : value;
}

static int architecture(const gh_cuda_driver *cu, int device) {
  return 10 * attribute(cu, GH_CU_MAJOR, device) + attribute(cu, GH_CU_MINOR, device);
}

static int driver_devices(gh_error *err, const gh_cuda_driver *cu) {
  int count = 0;
  unsigned code = cu->cuDeviceGetCount(&count);
  if (code) gh_cuda_fail(err, cu, code, "the NVIDIA driver does not count its devices");
  if (!code && count < 1) gh_cuda_no_device(err);
  return code ? 0 : count;
}

/* Every device can be listed; whether NVRTC serves it is seen where it is opened. With no NVRTC at all there is none.
 */
static int device_count(char *why_not, size_t size) {
  gh_error err = {0};
  int count = 0;
  if (why_not && size) why_not[0] = 0;
  const gh_cuda_driver *cu = gh_cuda_driver_get(&err);
  if (cu) count = driver_devices(&err, cu);
  bool served = false;
  for (int i = 0; i < count && !served; i++) {
    int device = 0;
    served = !cu->cuDeviceGet(&device, i) && gh_nvrtc_get(&err, architecture(cu, device));
  }
  if (served) return count;
  if (why_not) snprintf(why_not, size, "cuda: %s", err.text);
  return 0;
}

static gh_status describe(gh_error *err, int index, gh_device_info *info, int *ordinal) {
  memset(info, 0, sizeof *info);
  const gh_cuda_driver *cu = gh_cuda_driver_get(err);
  if (!cu) return err->status;
  int count = driver_devices(err, cu), device = 0;
  if (index < 0 || index >= count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "cuda:%d: there are %d CUDA devices", index, count);
  unsigned code = cu->cuDeviceGet(&device, index);
  size_t bytes = 0;
  if (!code) code = cu->cuDeviceGetName(info->name, (int)sizeof info->name - 1, device);
  if (!code) code = cu->cuDeviceTotalMem_v2(&bytes, device);
  if (code) return gh_cuda_fail(err, cu, code, "cuda:%d", index);
  int arch = architecture(cu, device);
  snprintf(info->id, sizeof info->id, "cuda:%d", index);
  snprintf(info->platform, sizeof info->platform, "NVIDIA CUDA");
  snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, sm_%d", cu->version / 1000, cu->version % 1000 / 10, arch);
  info->shape = GH_SHAPE_GPU;
  info->matrix = arch >= 80 ? GH_MATRIX_MMA : GH_MATRIX_NONE;
  info->compute_units = attribute(cu, GH_CU_MULTIPROCESSORS, device);
  info->memory_bytes = info->max_buffer_bytes = (int64_t)bytes;
  info->local_bytes = attribute(cu, GH_CU_SHARED_BYTES, device);
  info->max_group = attribute(cu, GH_CU_MAX_THREADS_PER_BLOCK, device);
  info->alignment_bytes = ALIGNMENT;
  if (ordinal) *ordinal = device;
  return gh_limit_buffers(err, info);
}

static gh_status device_info(gh_error *err, int index, gh_device_info *info) {
  return describe(err, index, info, NULL);
}

/* ---- opening ---- */

static void device_close(gh_device *d) {
  gh_cuda_device *device = d->impl;
  if (!device) return;
  const gh_cuda_driver *cu = device->cu;
  if (device->context && !cu->cuCtxSetCurrent(device->context)) {
    if (device->stream) cu->cuStreamSynchronize(device->stream);
    gh_cuda_staging_free(device);
    gh_cuda_blas_close(device);
    gh_cuda_programs_free(device);
    if (device->copies) cu->cuStreamDestroy_v2(device->copies);
    if (device->stream) cu->cuStreamDestroy_v2(device->stream);
    cu->cuCtxSetCurrent(NULL);
  }
  if (device->context) cu->cuDevicePrimaryCtxRelease_v2(device->ordinal);
  free(device);
  d->impl = NULL;
}

/* One source, two shapes of kernels; here only one of them compiles. */
static gh_status check_shape(gh_error *err, const gh_device *d) {
  const char *forced = getenv("GH_KERNEL_SHAPE"), *id = d->info.id;
  if (d->wanted_shape) return GH_OK; /* named with the device: the registry compares */
  if (!forced || !*forced || !strcmp(forced, "gpu")) return GH_OK;
  if (strcmp(forced, "cpu"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "GH_KERNEL_SHAPE is \"%s\": it can be cpu or gpu", forced);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: GH_KERNEL_SHAPE is cpu, and a CUDA device has the GPU's shape only",
                 id);
}

static gh_status open_queues(gh_error *err, gh_cuda_device *device) {
  const gh_cuda_driver *cu = device->cu;
  unsigned code = cu->cuDevicePrimaryCtxRetain(&device->context, device->ordinal);
  if (!code) code = cu->cuCtxSetCurrent(device->context);
  if (!code) code = cu->cuStreamCreate(&device->stream, GH_CU_STREAM_NON_BLOCKING);
  if (!code) code = cu->cuStreamCreate(&device->copies, GH_CU_STREAM_NON_BLOCKING);
  return code ? gh_cuda_fail(err, cu, code, "%s: cannot be opened", device->id) : GH_OK;
}

static gh_status device_open(gh_error *err, int index, gh_device *d) {
  int ordinal = 0;
  gh_status status = describe(err, index, &d->info, &ordinal);
  if (!status) status = check_shape(err, d);
  if (status) return status;
  gh_cuda_device *device = gh_alloc(err, 1, sizeof *device);
  if (!device) return GH_ERROR_MEMORY;
  d->impl = device;
  device->cu = gh_cuda_driver_get(err);
  device->id = d->info.id;
  device->ordinal = ordinal;
  device->arch = architecture(device->cu, ordinal);
  static const unsigned limits[] = {GH_CU_MAX_GRID_X, GH_CU_MAX_GRID_Y, GH_CU_MAX_GRID_Z};
  for (int i = 0; i < 3; i++) device->max_groups[i] = attribute(device->cu, limits[i], ordinal);
  status = gh_cuda_choose_target(err, device);
  if (!status) status = open_queues(err, device);
  if (!status) gh_cuda_blas_open(device);
  if (status) device_close(d);
  return status;
}

extern const gh_backend gh_backend_cuda;
const gh_backend gh_backend_cuda = {
    .name = "cuda",
    .device_count = device_count,
    .device_info = device_info,
    .device_open = device_open,
    .device_close = device_close,
    .buffer_create = gh_cuda_buffer_create,
    .buffer_view = gh_cuda_buffer_view,
    .buffer_free = gh_cuda_buffer_free,
    .buffer_bytes = gh_cuda_buffer_bytes,
    .write = gh_cuda_write,
    .send = gh_cuda_send,
    .reserve_sends = gh_cuda_reserve_sends,
    .read = gh_cuda_read,
    .bind_kernel = gh_cuda_bind_kernel,
    .bind_fill = gh_cuda_bind_fill,
    .bind_copy = gh_cuda_bind_copy,
    .bind_library_gemm = gh_cuda_bind_gemm,
    .bind_fft = gh_cuda_bind_fft,
    .launch_free = gh_cuda_launch_free,
    .enqueue = gh_cuda_enqueue,
    .finish = gh_cuda_finish,
    .library_name = gh_cuda_library_name,
    .capture_begin = gh_cuda_capture_begin,
    .capture_end = gh_cuda_capture_end,
};
