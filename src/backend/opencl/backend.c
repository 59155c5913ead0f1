/* The top of the OpenCL backend: opening and closing a device, and the table. */
#include "backend/opencl/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/core/limits.h"
#include "backend/kernel_source.h"
#include "backend/opencl/opencl.h"

static void prepare(bool again) {
  if (again) gh_cl_drivers_ask_again();
  gh_cl_drivers_prepare();
}

static gh_status device_info(gh_error *err, int index, gh_device_info *info) {
  return gh_cl_describe(err, index, info, NULL);
}

static void device_close(gh_device *d) {
  gh_cl_device *device = d->impl;
  if (!device) return;
  gh_cl_clock_free(device);
  if (device->queue) {
    clFinish(device->queue);
    clReleaseCommandQueue(device->queue);
  }
  gh_staging_free(d, &device->staging);
  gh_cl_workspace_free(device);
  gh_cl_clfft_end(device);
  gh_cl_context_close(d);
  free(device);
  d->impl = NULL;
}

static void choose_options(gh_cl_device *device, const gh_device_info *info) {
  cl_device_fp_config config = 0;
  clGetDeviceInfo(device->id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL);
  bool rounded = (config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
  const bool cpu = info->shape == GH_SHAPE_CPU;
  snprintf(device->options, sizeof device->options, GH_KERNEL_OPENCL_OPTIONS "%s%s%s",
           rounded ? " -cl-fp32-correctly-rounded-divide-sqrt" : "", cpu ? " -DCPU_SHAPE" : "",
           cpu && gh_has_narrow_vectors(info) ? " -DNARROW_VECTORS" : "");
  const size_t size = strlen(device->options);
  if (!cpu && info->sub_group > 1)
    snprintf(device->options + size, sizeof device->options - size, " " GH_KERNEL_SUB_GROUP, (int)info->sub_group);
}

static gh_status device_open(gh_error *err, int index, gh_device *d) {
  gh_cl_place place;
  gh_status status = gh_cl_describe(err, index, &d->info, &place);
  if (d->wanted_shape) d->info.shape = *d->wanted_shape;
  const gh_cl_quirks quirks = gh_cl_quirks_of(d->info.platform, d->info.driver, d->info.name);
  if (!status) status = gh_cl_check_shape(err, &d->info, &quirks);
  if (status) return status;
  gh_cl_device *device = gh_alloc(err, 1, sizeof *device);
  if (!device) return GH_ERROR_MEMORY;
  d->impl = device;
  device->platform = place.platform;
  device->id = place.device;
  device->quirks = quirks;
  device->staging.kind = &gh_cl_staging_kind;
  gh_cl_programs_open(d);
  choose_options(device, &d->info);

  cl_int code = gh_cl_context_open(device);
  if (code == CL_SUCCESS) device->queue = clCreateCommandQueue(device->context, device->id, 0, &code);
  if (code == CL_SUCCESS) return GH_OK;
  status = gh_cl_fail(err, code, "%s (%s): cannot be opened", d->info.id, d->info.name);
  device_close(d);
  return status;
}

const gh_backend gh_backend_opencl = {
    .name = "opencl",
    .prepare = prepare,
    .device_count = gh_cl_device_count,
    .device_info = device_info,
    .device_open = device_open,
    .device_close = device_close,
    .buffer_create = gh_cl_buffer_create,
    .host_buffer_create = gh_cl_host_buffer_create,
    .buffer_view = gh_cl_buffer_view,
    .buffer_free = gh_cl_buffer_free,
    .buffer_bytes = gh_buffer_bytes,
    .write = gh_cl_write,
    .send = gh_cl_send,
    .reserve_sends = gh_cl_reserve_sends,
    .read = gh_cl_read,
    .bind_kernel = gh_cl_bind_kernel,
    .bind_fill = gh_cl_bind_fill,
    .bind_copy = gh_cl_bind_copy,
    .bind_library_gemm = gh_cl_bind_clblast,
    .bind_fft = gh_cl_bind_clfft,
    .launch_free = gh_cl_launch_free,
    .enqueue = gh_cl_enqueue,
    .finish = gh_cl_finish,
    .mark = gh_cl_mark,
    .elapsed = gh_cl_elapsed,
    .gemm_name = gh_cl_gemm_name,
    .library_name = gh_cl_library_name,
    .fft_name = gh_cl_fft_name,
};
