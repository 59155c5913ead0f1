/* CUDA devices: enumeration and properties. */
#include <stdio.h>
#include <string.h>

#include "backend/core/limits.h"
#include "backend/cuda/internal.h"
#include "backend/pci.h"

#define WARP      32  /* work-items */
#define ALIGNMENT 512 /* of views; the driver's own allocations are at multiples of it */

static int driver_devices(gh_error *err, const gh_cuda_driver *cu) {
  int count = 0;
  unsigned code = cu->cuDeviceGetCount(&count);
  if (code) gh_cuda_fail(err, cu, code, "the NVIDIA driver does not report its number of devices");
  if (!code && count < 1) gh_cuda_no_device(err);
  return code ? 0 : count;
}

/* Every device can be listed; opening it shows whether NVRTC supports it. Without any NVRTC there is no device. */
int gh_cuda_device_count(char *why_not, size_t size) {
  gh_error err = {0};
  int count = 0;
  if (why_not && size) why_not[0] = 0;
  const gh_cuda_driver *cu = gh_cuda_driver_get(&err);
  if (cu) count = driver_devices(&err, cu);
  bool supported = false;
  for (int i = 0; i < count && !supported; i++) {
    int device = 0;
    supported = !cu->cuDeviceGet(&device, i) && gh_nvrtc_get(&err, gh_cuda_architecture(cu, device));
  }
  if (supported) return count;
  const char *page = gh_vendor_page(GH_PCI_NVIDIA);
  const bool waits = !strcmp(gh_pci_page(), page); /* a GPU that this would offer */
  if (why_not) snprintf(why_not, size, "cuda: %s%s%s", err.text, waits ? "; see " : "", waits ? page : "");
  return 0;
}

gh_status gh_cuda_describe(gh_error *err, int index, gh_device_info *info, int *ordinal) {
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
  int arch = gh_cuda_architecture(cu, device);
  snprintf(info->id, sizeof info->id, "cuda:%d", index);
  snprintf(info->platform, sizeof info->platform, "NVIDIA CUDA");
  snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, sm_%d", cu->version / 1000, cu->version % 1000 / 10, arch);
  info->shape = GH_SHAPE_GPU;
  info->matrix = arch >= 80 ? GH_MATRIX_MMA : GH_MATRIX_NONE;
  info->compute_units = gh_cuda_attribute(cu, GH_CU_MULTIPROCESSORS, device);
  info->memory_bytes = info->max_buffer_bytes = (int64_t)bytes;
  info->shares_host = gh_cuda_attribute(cu, GH_CU_INTEGRATED, device);
  info->local_bytes = gh_cuda_attribute(cu, GH_CU_SHARED_BYTES, device);
  info->max_group = gh_cuda_attribute(cu, GH_CU_MAX_THREADS_PER_BLOCK, device);
  info->alignment_bytes = ALIGNMENT;
  info->sub_group = WARP;
  gh_cuda_identify(cu, device, info);
  if (ordinal) *ordinal = device;
  gh_status status = gh_limit_buffers(err, info);
  return status ? status : gh_limit_sub_group(err, info);
}
