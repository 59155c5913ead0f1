/* OpenCL devices: enumeration over every installed platform, facts, contexts and queues; the backend's table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kernel_source.h"
#include "backend/limits.h"
#include "backend/opencl/opencl.h"
#include "base/log.h"

#define MAX_PLATFORMS 16
#define MAX_DEVICES   32

typedef struct device_list {
  int count;
  cl_platform_id platforms[MAX_DEVICES];
  cl_device_id devices[MAX_DEVICES];
} device_list;

static const struct {
  cl_int code;
  const char *name;
} code_names[] = {
    {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"},
    {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"},
    {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE"},
    {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
    {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"},
    {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"},
    {CL_MEM_COPY_OVERLAP, "CL_MEM_COPY_OVERLAP"},
    {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE"},
    {CL_MISALIGNED_SUB_BUFFER_OFFSET, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
    {CL_INVALID_VALUE, "CL_INVALID_VALUE"},
    {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT"},
    {CL_INVALID_BINARY, "CL_INVALID_BINARY"},
    {CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS"},
    {CL_INVALID_PROGRAM_EXECUTABLE, "CL_INVALID_PROGRAM_EXECUTABLE"},
    {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME"},
    {CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX"},
    {CL_INVALID_ARG_VALUE, "CL_INVALID_ARG_VALUE"},
    {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE"},
    {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS"},
    {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE"},
    {CL_INVALID_WORK_ITEM_SIZE, "CL_INVALID_WORK_ITEM_SIZE"},
    {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"},
    {CL_INVALID_OPERATION, "CL_INVALID_OPERATION"},
};

gh_status gh_cl_fail(gh_error *err, cl_int code, const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  const char *name = "OpenCL error";
  for (size_t i = 0; i < GH_COUNT(code_names); i++)
    if (code_names[i].code == code) name = code_names[i].name;
  bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
  return gh_fail(err, memory ? GH_ERROR_MEMORY : GH_ERROR_DEVICE, "%s: %s (%d)", what, name, (int)code);
}

/* ---- enumeration ---- */

static bool usable(cl_device_id device) {
  cl_bool available = CL_FALSE, compiler = CL_FALSE;
  clGetDeviceInfo(device, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
  clGetDeviceInfo(device, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
  return available && compiler;
}

static const char *platform_needs(cl_platform_id platform) {
  char name[96] = "";
  clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
  return gh_cl_quirks_of(name, "", "").needs;
}

static void list_devices(device_list *list, char *why_not, size_t size) {
  list->count = 0;
  cl_platform_id platforms[MAX_PLATFORMS];
  cl_uint platform_count = 0;
  cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count);
  if (code != CL_SUCCESS || !platform_count) {
    if (why_not) snprintf(why_not, size, "opencl: no driver is installed (no platform, code %d)", (int)code);
    return;
  }
  platform_count = GH_MIN(platform_count, MAX_PLATFORMS);
  for (cl_uint p = 0; p < platform_count; p++) {
    cl_device_id devices[MAX_DEVICES];
    cl_uint count = 0;
    cl_device_type types = CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR;
    if (clGetDeviceIDs(platforms[p], types, MAX_DEVICES, devices, &count) != CL_SUCCESS) continue;
    count = GH_MIN(count, MAX_DEVICES);
    for (cl_uint i = 0; i < count && list->count < MAX_DEVICES; i++) {
      if (!usable(devices[i])) continue;
      list->platforms[list->count] = platforms[p];
      list->devices[list->count++] = devices[i];
    }
  }
  if (list->count || !why_not) return;
  const char *needs = NULL;
  for (cl_uint p = 0; p < platform_count && !needs; p++) needs = platform_needs(platforms[p]);
  snprintf(why_not, size, "opencl: %u platform(s), none with a usable device%s%s", (unsigned)platform_count,
           needs ? "; " : "", needs ? needs : "");
}

static int device_count(char *why_not, size_t size) {
  device_list list;
  if (why_not && size) why_not[0] = 0;
  list_devices(&list, why_not, size);
  return list.count;
}

/* ---- facts ---- */

static void device_text(cl_device_id device, cl_device_info what, char *out, size_t size) {
  char text[1024] = "";
  if (clGetDeviceInfo(device, what, sizeof text - 1, text, NULL) != CL_SUCCESS) text[0] = 0;
  snprintf(out, size, "%.*s", (int)size - 1, text + strspn(text, " "));
}

static int64_t device_number(cl_device_id device, cl_device_info what) {
  cl_ulong value = 0; /* narrower answers fill the low bytes: every host of ours is little-endian */
  if (clGetDeviceInfo(device, what, sizeof value, &value, NULL) != CL_SUCCESS) return 0;
  return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static gh_status choose_shape(gh_error *err, gh_device_info *info, bool cpu_is_gpu_shaped) {
  const char *forced = getenv("GH_KERNEL_SHAPE");
  bool cpu = (info->is_cpu && !cpu_is_gpu_shaped) || !gh_fits_gpu_shape(info);
  info->shape = cpu ? GH_SHAPE_CPU : GH_SHAPE_GPU;
  if (!forced || !*forced) return GH_OK;
  if (!strcmp(forced, "cpu"))
    info->shape = GH_SHAPE_CPU;
  else if (!strcmp(forced, "gpu"))
    info->shape = GH_SHAPE_GPU;
  else
    return gh_fail(err, GH_ERROR_ARGUMENT, "GH_KERNEL_SHAPE is \"%s\": it can be cpu or gpu", forced);
  return GH_OK;
}

/* Whether the shape that was asked for can be served; and a word where the device's own was not chosen. */
static gh_status check_shape(gh_error *err, const gh_device_info *info, const gh_cl_quirks *quirks) {
  bool small = !gh_fits_gpu_shape(info);
  if (info->shape == GH_SHAPE_GPU && small)
    return gh_fail(
        err, GH_ERROR_UNSUPPORTED,
        "%s (%s) has groups of %lld work-items and %lld KiB of local memory: kernels of the GPU's shape need "
        "%d and %d",
        info->id, info->name, (long long)info->max_group, (long long)info->local_bytes / 1024, GH_GPU_GROUP,
        GH_GPU_LOCAL_BYTES / 1024);
  if (info->shape == GH_SHAPE_CPU && quirks->gpu_shape)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s (%s) does not serve kernels of the CPU's shape", info->id,
                   info->name);
  if (!info->is_cpu && small)
    gh_warn(
        "%s has groups of %lld work-items and %lld KiB of local memory, so that kernels of the CPU's shape serve it, "
        "slowly",
        info->id, (long long)info->max_group, (long long)info->local_bytes / 1024);
  return GH_OK;
}

static gh_status describe(gh_error *err, const device_list *list, int index, gh_device_info *info) {
  if (index < 0 || index >= list->count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "opencl:%d: there are %d OpenCL devices", index, list->count);
  cl_device_id device = list->devices[index];
  memset(info, 0, sizeof *info);
  snprintf(info->id, sizeof info->id, "opencl:%d", index);
  device_text(device, CL_DEVICE_NAME, info->name, sizeof info->name);
  device_text(device, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
  if (clGetPlatformInfo(list->platforms[index], CL_PLATFORM_NAME, sizeof info->platform - 1, info->platform, NULL) !=
      CL_SUCCESS)
    snprintf(info->platform, sizeof info->platform, "unknown platform");
  info->is_cpu = (device_number(device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU) != 0;
  info->compute_units = (int)device_number(device, CL_DEVICE_MAX_COMPUTE_UNITS);
  info->memory_bytes = device_number(device, CL_DEVICE_GLOBAL_MEM_SIZE);
  info->max_buffer_bytes = device_number(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
  info->local_bytes = device_number(device, CL_DEVICE_LOCAL_MEM_SIZE);
  info->max_group = device_number(device, CL_DEVICE_MAX_WORK_GROUP_SIZE);
  info->alignment_bytes = GH_MAX(512, device_number(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8);
  if (info->is_cpu) info->memory_bytes = GH_MIN(info->memory_bytes, gh_host_memory_limit());
  const gh_cl_quirks quirks = gh_cl_quirks_of(info->platform, info->driver, info->name);
  info->amx = info->is_cpu && quirks.amx && gh_amx_allowed();
  info->matrix = gh_cl_matrix_unit(device, info);
  info->unfit = quirks.unfit;
  gh_status status = gh_limit_buffers(err, info);
  if (!status) status = gh_limit_groups(err, info);
  return status ? status : choose_shape(err, info, quirks.gpu_shape);
}

static gh_status device_info(gh_error *err, int index, gh_device_info *info) {
  device_list list;
  list_devices(&list, NULL, 0);
  return describe(err, &list, index, info);
}

/* ---- opening ---- */

static void device_close(gh_device *d) {
  gh_cl_device *device = d->impl;
  if (!device) return;
  if (device->queue) {
    clFinish(device->queue);
    clReleaseCommandQueue(device->queue);
  }
  gh_cl_staging_free(device);
  gh_cl_workspace_free(device);
  gh_cl_clfft_end(device);
  gh_cl_programs_free(device);
  if (device->context) clReleaseContext(device->context);
  free(device);
  d->impl = NULL;
}

static void choose_options(gh_cl_device *device, const gh_device_info *info) {
  cl_device_fp_config config = 0;
  clGetDeviceInfo(device->id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL);
  bool rounded = (config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
  snprintf(device->options, sizeof device->options, GH_KERNEL_OPENCL_OPTIONS "%s%s",
           rounded ? " -cl-fp32-correctly-rounded-divide-sqrt" : "", info->shape == GH_SHAPE_CPU ? " -DCPU_SHAPE" : "");
}

static gh_status device_open(gh_error *err, int index, gh_device *d) {
  device_list list;
  list_devices(&list, NULL, 0);
  gh_status status = describe(err, &list, index, &d->info);
  if (d->wanted_shape) d->info.shape = *d->wanted_shape;
  const gh_cl_quirks quirks = gh_cl_quirks_of(d->info.platform, d->info.driver, d->info.name);
  if (!status) status = check_shape(err, &d->info, &quirks);
  if (status) return status;
  gh_cl_device *device = gh_alloc(err, 1, sizeof *device);
  if (!device) return GH_ERROR_MEMORY;
  d->impl = device;
  device->platform = list.platforms[index];
  device->id = list.devices[index];
  device->quirks = quirks;
  choose_options(device, &d->info);

  cl_int code;
  cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
  device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
  if (code == CL_SUCCESS) device->queue = clCreateCommandQueue(device->context, device->id, 0, &code);
  if (code == CL_SUCCESS) return GH_OK;
  status = gh_cl_fail(err, code, "%s (%s): cannot be opened", d->info.id, d->info.name);
  device_close(d);
  return status;
}

extern const gh_backend gh_backend_opencl;
const gh_backend gh_backend_opencl = {
    .name = "opencl",
    .device_count = device_count,
    .device_info = device_info,
    .device_open = device_open,
    .device_close = device_close,
    .buffer_create = gh_cl_buffer_create,
    .buffer_view = gh_cl_buffer_view,
    .buffer_free = gh_cl_buffer_free,
    .buffer_bytes = gh_cl_buffer_bytes,
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
    .library_name = gh_cl_library_name,
};
