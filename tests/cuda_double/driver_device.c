/* The driver's double: initialisation, devices, contexts, names of errors. */
#include "driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEVICES 8

__thread CUcontext double_current;
static struct CUctx_st primaries[MAX_DEVICES];
static bool initialised;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int double_lock(void) { return pthread_mutex_lock(&lock); }
void double_unlock(const int *locked) {
  (void)locked;
  pthread_mutex_unlock(&lock);
}

unsigned double_enter(const char *function, bool needs_context) {
  unsigned fault = double_fault(function, GH_CU_OUT_OF_MEMORY);
  if (fault) return fault;
  if (!initialised) return CODE_NOT_INITIALIZED;
  if (!needs_context) return GH_CU_SUCCESS;
  return double_current ? double_current->failure : CODE_INVALID_CONTEXT;
}

static const struct {
  unsigned code;
  const char *name;
} errors[] = {
    {GH_CU_SUCCESS, "CUDA_SUCCESS"},
    {CODE_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {GH_CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {CODE_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {GH_CU_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
    {CODE_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
    {CODE_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
    {CODE_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
    {CODE_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {CODE_INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
    {CODE_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
    {CODE_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    {GH_CU_NOT_READY, "CUDA_ERROR_NOT_READY"},
    {CODE_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {CODE_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
    {CODE_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
    {CODE_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {CODE_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
    {CODE_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"},
    {999, "CUDA_ERROR_UNKNOWN"},
};

unsigned cuGetErrorName(unsigned error, const char **name) {
  for (size_t i = 0; i < GH_COUNT(errors); i++)
    if (errors[i].code == error) {
      *name = errors[i].name;
      return GH_CU_SUCCESS;
    }
  *name = NULL;
  return CODE_INVALID_VALUE;
}

/* ---- initialisation ---- */

static int device_count(void) {
  long count = double_setting("GH_DOUBLE_DEVICES", 1);
  return (int)GH_MIN(count, MAX_DEVICES);
}

/* A broken driver: GH_DOUBLE_START. */
static void start_badly(const char *how) {
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "exit")) _exit(3);
  while (!strcmp(how, "hang")) pause();
}

unsigned cuInit(unsigned flags) {
  const char *how = getenv("GH_DOUBLE_START");
  if (how) start_badly(how);
  LOCK();
  unsigned fault = double_fault(__func__, 999);
  if (fault) return fault;
  if (flags) return CODE_INVALID_VALUE;
  if (device_count() <= 0) return GH_CU_NO_DEVICE;
  initialised = true;
  return GH_CU_SUCCESS;
}

unsigned cuDriverGetVersion(int *version) {
  LOCK();
  *version = (int)double_setting("GH_DOUBLE_DRIVER", 13000);
  return double_fault(__func__, CODE_INVALID_VALUE);
}

/* If NVIDIA's own NVRTC finds a driver in the process, it asks for tables of hidden functions: there are none. */
API unsigned cuGetExportTable(const void **table, const void *id);
unsigned cuGetExportTable(const void **table, const void *id) {
  (void)id;
  *table = NULL;
  return CODE_NOT_FOUND;
}

/* ---- devices ---- */

static bool is_device(int device) { return device >= 0 && device < device_count(); }

int double_capability(void) {
  const char *text = getenv("GH_DOUBLE_CAPABILITY");
  int major = 9, minor = 0;
  if (text && *text) sscanf(text, "%d.%d", &major, &minor);
  return 10 * major + minor;
}

int gh_double_capability(void) { return double_capability(); }

size_t double_memory_bytes(void) { return (size_t)double_setting("GH_DOUBLE_MEMORY_MIB", 4096) << 20; }

unsigned cuDeviceGetCount(int *count) {
  ENTER_DRIVER();
  *count = device_count();
  return GH_CU_SUCCESS;
}

unsigned cuDeviceGet(int *device, int ordinal) {
  ENTER_DRIVER();
  if (!is_device(ordinal)) return CODE_INVALID_DEVICE;
  *device = ordinal;
  return GH_CU_SUCCESS;
}

unsigned cuDeviceGetName(char *name, int size, int device) {
  ENTER_DRIVER();
  if (!is_device(device)) return CODE_INVALID_DEVICE;
  snprintf(name, (size_t)size, "Double of a GPU");
  return GH_CU_SUCCESS;
}

unsigned cuDeviceGetUuid_v2(CUuuid *uuid, int device) {
  ENTER_DRIVER();
  if (!is_device(device)) return CODE_INVALID_DEVICE;
  for (int i = 0; i < 15; i++) uuid->bytes[i] = (char)(16 * i + i);
  uuid->bytes[15] = (char)device;
  return GH_CU_SUCCESS;
}

unsigned cuDeviceTotalMem_v2(size_t *bytes, int device) {
  ENTER_DRIVER();
  if (!is_device(device)) return CODE_INVALID_DEVICE;
  *bytes = double_memory_bytes();
  return GH_CU_SUCCESS;
}

static const struct {
  unsigned attribute;
  int value;
} attributes[] = {{GH_CU_MAX_THREADS_PER_BLOCK, 1024},
                  {GH_CU_MAX_GRID_X, 2147483647},
                  {GH_CU_MAX_GRID_Y, 65535},
                  {GH_CU_MAX_GRID_Z, 65535},
                  {GH_CU_SHARED_BYTES, 49152},
                  {GH_CU_MULTIPROCESSORS, 2},
                  {GH_CU_WARP, 32},
                  {GH_CU_CLOCK_KHZ, 1755000},
                  {GH_CU_ECC, 1},
                  {GH_CU_INTEGRATED, 0},
                  {GH_CU_PCI_BUS, 0x3b},
                  {GH_CU_PCI_DOMAIN, 0}};

unsigned cuDeviceGetAttribute(int *value, unsigned attribute, int device) {
  ENTER_DRIVER();
  if (!is_device(device)) return CODE_INVALID_DEVICE;
  if (attribute == GH_CU_MAJOR || attribute == GH_CU_MINOR) {
    *value = attribute == GH_CU_MAJOR ? double_capability() / 10 : double_capability() % 10;
    return GH_CU_SUCCESS;
  }
  if (attribute == GH_CU_PCI_DEVICE) {
    *value = device;
    return GH_CU_SUCCESS;
  }
  for (size_t i = 0; i < GH_COUNT(attributes); i++)
    if (attributes[i].attribute == attribute) {
      *value = attributes[i].value;
      return GH_CU_SUCCESS;
    }
  return double_refuse(CODE_INVALID_VALUE, "cuDeviceGetAttribute: no value for attribute %u", attribute);
}

/* ---- contexts: a device's primary one ---- */

unsigned cuDevicePrimaryCtxRetain(CUcontext *context, int device) {
  ENTER_DRIVER();
  if (!is_device(device)) return CODE_INVALID_DEVICE;
  primaries[device].device = device;
  primaries[device].users++;
  *context = &primaries[device];
  return GH_CU_SUCCESS;
}

unsigned cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER_DRIVER();
  if (!is_device(device) || primaries[device].users < 1) return CODE_INVALID_CONTEXT;
  if (--primaries[device].users == 0) primaries[device].failure = 0;
  return GH_CU_SUCCESS;
}

unsigned cuCtxSetCurrent(CUcontext context) {
  ENTER_DRIVER();
  if (context && context->users < 1) return CODE_INVALID_CONTEXT;
  double_current = context;
  return GH_CU_SUCCESS;
}
