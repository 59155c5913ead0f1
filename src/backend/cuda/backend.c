/* The top of the CUDA backend: opening and closing a device, and the table. */
#include "backend/cuda/backend.h"

#include <stdlib.h>
#include <string.h>

#include "backend/cuda/internal.h"

static gh_status device_info(gh_error *err, int index, gh_device_info *info) {
  return gh_cuda_describe(err, index, info, NULL);
}

static void device_close(gh_device *d) {
  gh_cuda_device *device = d->impl;
  if (!device) return;
  const gh_cuda_driver *cu = device->cu;
  if (device->context && !cu->cuCtxSetCurrent(device->context)) {
    if (device->stream) cu->cuStreamSynchronize(device->stream);
    gh_staging_free(d, &device->staging);
    gh_cuda_blas_close(device);
    gh_programs_free(d, &device->programs);
    gh_cuda_clock_free(device);
    gh_cuda_group_free(device);
    if (device->copies) cu->cuStreamDestroy_v2(device->copies);
    if (device->stream) cu->cuStreamDestroy_v2(device->stream);
    cu->cuCtxSetCurrent(NULL);
  }
  if (device->context) cu->cuDevicePrimaryCtxRelease_v2(device->ordinal);
  free(device);
  d->impl = NULL;
}

/* Of the two shapes of kernels, only the GPU's compiles for CUDA. */
static gh_status check_shape(gh_error *err, const gh_device *d) {
  const char *forced = getenv("GH_KERNEL_SHAPE"), *id = d->info.id;
  if (d->wanted_shape) return GH_OK; /* given with the device name; the registry checks it */
  if (!forced || !*forced || !strcmp(forced, "gpu")) return GH_OK;
  if (strcmp(forced, "cpu"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "GH_KERNEL_SHAPE is \"%s\": it can be cpu or gpu", forced);
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "%s: GH_KERNEL_SHAPE is cpu, but a CUDA device has only kernels of the GPU's shape", id);
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
  gh_status status = gh_cuda_describe(err, index, &d->info, &ordinal);
  if (!status) status = check_shape(err, d);
  if (status) return status;
  gh_cuda_device *device = gh_alloc(err, 1, sizeof *device);
  if (!device) return GH_ERROR_MEMORY;
  d->impl = device;
  device->cu = gh_cuda_driver_get(err);
  device->id = d->info.id;
  device->ordinal = ordinal;
  device->arch = gh_cuda_architecture(device->cu, ordinal);
  static const unsigned limits[] = {GH_CU_MAX_GRID_X, GH_CU_MAX_GRID_Y, GH_CU_MAX_GRID_Z};
  for (int i = 0; i < 3; i++) device->max_groups[i] = gh_cuda_attribute(device->cu, limits[i], ordinal);
  device->staging.kind = &gh_cuda_staging_kind;
  status = gh_cuda_programs_open(err, d);
  if (!status) status = open_queues(err, device);
  if (!status) gh_cuda_blas_open(device);
  if (status) device_close(d);
  return status;
}

const gh_backend gh_backend_cuda = {
    .name = "cuda",
    .prepare = gh_cuda_prepare,
    .device_count = gh_cuda_device_count,
    .device_info = device_info,
    .device_open = device_open,
    .device_close = device_close,
    .buffer_create = gh_cuda_buffer_create,
    .host_buffer_create = gh_cuda_host_buffer_create,
    .buffer_view = gh_cuda_buffer_view,
    .buffer_free = gh_cuda_buffer_free,
    .buffer_bytes = gh_buffer_bytes,
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
    .mark = gh_cuda_mark,
    .elapsed = gh_cuda_elapsed,
    .joules = gh_cuda_joules,
    .group_open = gh_cuda_group_open,
    .group_join = gh_cuda_group_join,
    .group_sum = gh_cuda_group_sum,
    .group_wait = gh_cuda_group_wait,
    .group_name = gh_cuda_group_name,
    .memory = "cuda",
    .address = gh_cuda_address,
    .beside_open = gh_cuda_beside_open,
    .beside_close = gh_cuda_beside_close,
    .beside_point = gh_cuda_beside_point,
    .beside_follow = gh_cuda_beside_follow,
    .gemm_name = gh_cuda_gemm_name,
    .library_name = gh_cuda_library_name,
    .fft_name = gh_cuda_fft_name,
    .capture_begin = gh_cuda_capture_begin,
    .capture_end = gh_cuda_capture_end,
};
