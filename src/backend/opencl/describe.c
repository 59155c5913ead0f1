/* OpenCL devices: enumeration over every installed platform, and their properties. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/core/limits.h"
#include "backend/opencl/opencl.h"
#include "base/cache.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "cl/launch.h"

#define MAX_PLATFORMS 16
#define MAX_DEVICES   32

typedef struct device_list {
  int count;
  cl_platform_id platforms[MAX_DEVICES];
  cl_device_id devices[MAX_DEVICES];
} device_list;

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
  const char *failure = gh_cl_drivers_prepare();
  if (failure) {
    if (why_not) snprintf(why_not, size, "opencl: %s", failure);
    return;
  }
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

int gh_cl_device_count(char *why_not, size_t size) {
  device_list list;
  if (why_not && size) why_not[0] = 0;
  list_devices(&list, why_not, size);
  const char *idle = gh_cl_drivers_idle();
  size_t used = why_not && size ? strlen(why_not) : 0;
  if (*idle && used + 1 < size) snprintf(why_not + used, size - used, "%s%s", used ? "\n" : "", idle);
  return list.count;
}

/* ---- properties ---- */

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

gh_status gh_cl_check_shape(gh_error *err, const gh_device_info *info, const gh_cl_quirks *quirks) {
  bool small = !gh_fits_gpu_shape(info);
  if (info->shape == GH_SHAPE_GPU && small)
    return gh_fail(
        err, GH_ERROR_UNSUPPORTED,
        "%s (%s) has groups of %lld work-items and %lld KiB of local memory: kernels of the GPU's shape need "
        "%d and %d",
        info->id, info->name, (long long)info->max_group, (long long)info->local_bytes / 1024, GROUP_ITEMS,
        GROUP_LOCAL_BYTES / 1024);
  if (info->shape == GH_SHAPE_CPU && quirks->gpu_shape)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s (%s) does not support kernels of the CPU's shape", info->id,
                   info->name);
  if (!info->is_cpu && small)
    gh_warn("%s has groups of %lld work-items and %lld KiB of local memory: it runs kernels of the CPU's shape, slowly",
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
  info->shares_host = info->is_cpu || device_number(device, CL_DEVICE_HOST_UNIFIED_MEMORY);
  if (info->is_cpu) info->memory_bytes = GH_MIN(info->memory_bytes, gh_host_memory_limit());
  const gh_cl_quirks quirks = gh_cl_quirks_of(info->platform, info->driver, info->name);
  info->amx = info->is_cpu && quirks.builtins && gh_amx_allowed();
  info->bf16_dot = info->is_cpu && quirks.builtins && strstr(gh_cache_cpu_flags(), " avx512_bf16");
  if (info->is_cpu) info->vector_lanes = strstr(gh_cache_cpu_flags(), " avx512f") ? 16 : 8;
  info->matrix = gh_cl_matrix_unit(device, info);
  info->sub_group = gh_cl_sub_group(device, info);
  info->unfit = quirks.unfit;
  gh_cl_identify(list->platforms[index], device, info);
  gh_status status = gh_limit_buffers(err, info);
  if (!status) status = gh_limit_groups(err, info);
  if (!status) status = gh_limit_sub_group(err, info);
  return status ? status : choose_shape(err, info, quirks.gpu_shape);
}

gh_status gh_cl_describe(gh_error *err, int index, gh_device_info *info, gh_cl_place *place) {
  device_list list;
  list_devices(&list, NULL, 0);
  gh_status status = describe(err, &list, index, info);
  if (!status && place) *place = (gh_cl_place){list.platforms[index], list.devices[index]};
  return status;
}
