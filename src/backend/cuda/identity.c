/* The identity of a CUDA device. */
#include <stdio.h>

#include "backend/cuda/internal.h"

int gh_cuda_attribute(const gh_cuda_driver *cu, unsigned which, int device) {
  int value = 0;
  return cu->cuDeviceGetAttribute(&value, which, device) ? 0 : value;
}

int gh_cuda_architecture(const gh_cuda_driver *cu, int device) {
  return 10 * gh_cuda_attribute(cu, GH_CU_MAJOR, device) + gh_cuda_attribute(cu, GH_CU_MINOR, device);
}

void gh_cuda_identify(const gh_cuda_driver *cu, int device, gh_device_info *info) {
  static const struct {
    int arch, lanes; /* float32 lanes of a multiprocessor, from that compute capability on */
  } generations[] = {{86, 128}, {80, 64}, {75, 64}, {70, 64}, {61, 128}, {60, 64}, {50, 128}};
  gh_device_identity *out = &info->identity;
  CUuuid uuid;
  const int arch = gh_cuda_architecture(cu, device);
  if (cu->cuDeviceGetUuid_v2 && !cu->cuDeviceGetUuid_v2(&uuid, device))
    gh_identity_uuid(out, (const unsigned char *)uuid.bytes);
  gh_identity_pci(out, (unsigned)gh_cuda_attribute(cu, GH_CU_PCI_DOMAIN, device),
                  (unsigned)gh_cuda_attribute(cu, GH_CU_PCI_BUS, device),
                  (unsigned)gh_cuda_attribute(cu, GH_CU_PCI_DEVICE, device), 0);
  snprintf(out->vendor, sizeof out->vendor, "NVIDIA Corporation");
  out->vendor_id = 0x10de;
  out->clock_mhz = gh_cuda_attribute(cu, GH_CU_CLOCK_KHZ, device) / 1000;
  out->sub_groups[0] = gh_cuda_attribute(cu, GH_CU_WARP, device);
  out->ecc = gh_cuda_attribute(cu, GH_CU_ECC, device) ? GH_YES : GH_NO;
  out->float16 = arch >= 53 ? GH_YES : GH_NO;
  for (size_t i = 0; i < GH_COUNT(generations) && !out->cores; i++)
    if (arch >= generations[i].arch) out->cores = (int64_t)info->compute_units * generations[i].lanes;
  gh_error ignored;
  const gh_nvrtc *nvrtc = gh_nvrtc_get(&ignored, arch);
  if (nvrtc) snprintf(out->compiler, sizeof out->compiler, "NVRTC %d.%d", nvrtc->major, nvrtc->minor);
  gh_identity_power(out, "/sys/bus/pci/devices");
}
