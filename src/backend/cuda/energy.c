/* The energy counter of NVIDIA's GPUs from Volta on. */
#include <math.h>

#include "backend/cuda/internal.h"
#include "base/log.h"

double gh_cuda_joules(gh_device *d) {
  gh_error err = {0};
  unsigned long long millijoules = 0;
  void *device = NULL;
  const gh_nvml *nvml = *d->info.identity.pci ? gh_nvml_get(&err) : NULL;
  if (!nvml) return NAN;
  if (nvml->nvmlDeviceGetHandleByPciBusId_v2(d->info.identity.pci, &device) ||
      nvml->nvmlDeviceGetTotalEnergyConsumption(device, &millijoules)) {
    gh_debug("%s: NVML does not tell its energy", d->info.id);
    return NAN;
  }
  return (double)millijoules / 1e3;
}
