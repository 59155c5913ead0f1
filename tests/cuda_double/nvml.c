/* NVML's double: one GPU, which uses half a joule between two calls. */
#include "double.h"

#include <string.h>

GH_CUDA_NVML(DECLARE)

enum { INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int gpu;

unsigned nvmlInit_v2(void) { return double_fault(__func__, NOT_SUPPORTED); }

unsigned nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device) {
  if (strlen(address) != strlen("0000:00:00.0")) return NOT_FOUND;
  *device = &gpu;
  return double_fault(__func__, NOT_FOUND);
}

unsigned nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
  static unsigned long long used = 1000;
  if (device != &gpu) return INVALID_ARGUMENT;
  *millijoules = used += 500;
  return double_fault(__func__, NOT_SUPPORTED);
}
