/* The identity of an OpenCL device: the standard's queries, then those of vendors' extensions. A driver that does not
 * know a query answers with an error, and the fact stays unknown. */
#include <stdio.h>
#include <string.h>

#include "backend/opencl/opencl.h"

/* Names from extensions; installed headers may be too old to define them. */
enum {
  DEVICE_UUID_KHR = 0x106A,
  PCI_BUS_INFO_KHR = 0x410F,
  WARP_SIZE_NV = 0x4003,
  PCI_BUS_ID_NV = 0x4008,
  PCI_SLOT_ID_NV = 0x4009,
  PCI_DOMAIN_ID_NV = 0x400A,
  TOPOLOGY_AMD = 0x4037,
  SIMD_PER_COMPUTE_UNIT_AMD = 0x4040,
  SIMD_WIDTH_AMD = 0x4041,
  WAVEFRONT_WIDTH_AMD = 0x4043,
  SUB_GROUP_SIZES_INTEL = 0x4108
};

/* The answer has exactly that size, or false. */
static bool ask(cl_device_id device, unsigned what, void *out, size_t bytes) {
  size_t given = 0;
  unsigned char answer[64] = {0};
  if (bytes > sizeof answer || clGetDeviceInfo(device, what, sizeof answer, answer, &given) != CL_SUCCESS) return false;
  if (given != bytes) return false;
  memcpy(out, answer, bytes);
  return true;
}

static int64_t number(cl_device_id device, unsigned what) {
  cl_uint value = 0;
  return ask(device, what, &value, sizeof value) ? value : 0;
}

static void find_pci(cl_device_id device, gh_device_identity *out) {
  cl_uint info[4], nv[3] = {0}; /* domain, bus, device, function */
  unsigned char topology[24];   /* a type, 17 unused bytes, then bus, device, function */
  const cl_uint pcie = 1;
  if (ask(device, PCI_BUS_INFO_KHR, info, sizeof info)) {
    gh_identity_pci(out, info[0], info[1], info[2], info[3]);
  } else if (ask(device, PCI_BUS_ID_NV, &nv[1], sizeof nv[1]) && ask(device, PCI_SLOT_ID_NV, &nv[2], sizeof nv[2])) {
    if (!ask(device, PCI_DOMAIN_ID_NV, &nv[0], sizeof nv[0])) nv[0] = 0;
    gh_identity_pci(out, nv[0], nv[1], nv[2] >> 3, nv[2] & 7);
  } else if (ask(device, TOPOLOGY_AMD, topology, sizeof topology) && !memcmp(topology, &pcie, sizeof pcie)) {
    gh_identity_pci(out, 0, topology[21], topology[22], topology[23]);
  }
}

static void find_sub_groups(cl_device_id device, gh_device_identity *out) {
  size_t sizes[GH_SUB_GROUP_SIZES] = {0}, bytes = 0;
  if (clGetDeviceInfo(device, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) == CL_SUCCESS) {
    for (size_t i = 0; i < bytes / sizeof sizes[0] && i < GH_SUB_GROUP_SIZES; i++)
      out->sub_groups[i] = (int64_t)sizes[i];
    return;
  }
  const int64_t warp = number(device, WARP_SIZE_NV), wave = number(device, WAVEFRONT_WIDTH_AMD);
  out->sub_groups[0] = warp ? warp : wave;
}

void gh_cl_identify(cl_platform_id platform, cl_device_id device, gh_device_info *info) {
  gh_device_identity *out = &info->identity;
  unsigned char uuid[16];
  cl_bool ecc = CL_FALSE;
  if (ask(device, DEVICE_UUID_KHR, uuid, sizeof uuid)) gh_identity_uuid(out, uuid);
  find_pci(device, out);
  char text[1024] = ""; /* longer than what is kept of it */
  if (clGetDeviceInfo(device, CL_DEVICE_VENDOR, sizeof text - 1, text, NULL) == CL_SUCCESS)
    snprintf(out->vendor, sizeof out->vendor, "%.*s", (int)sizeof out->vendor - 1, text);
  if (clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof text - 1, text, NULL) == CL_SUCCESS)
    snprintf(out->compiler, sizeof out->compiler, "%.*s", (int)sizeof out->compiler - 1, text);
  out->vendor_id = number(device, CL_DEVICE_VENDOR_ID);
  out->clock_mhz = number(device, CL_DEVICE_MAX_CLOCK_FREQUENCY);
  if (info->is_cpu)
    out->cores = info->compute_units;
  else
    out->cores = info->compute_units * number(device, SIMD_PER_COMPUTE_UNIT_AMD) * number(device, SIMD_WIDTH_AMD);
  find_sub_groups(device, out);
  if (ask(device, CL_DEVICE_ERROR_CORRECTION_SUPPORT, &ecc, sizeof ecc) && !info->is_cpu)
    out->ecc = ecc ? GH_YES : GH_NO;
  char extensions[8192] = "";
  if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL) == CL_SUCCESS)
    out->float16 = strstr(extensions, "cl_khr_fp16") ? GH_YES : GH_NO;
  gh_identity_power(out, "/sys/bus/pci/devices");
}
