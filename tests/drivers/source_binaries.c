/* A layer of the OpenCL loader (OPENCL_LAYERS) that gives a program's source where its binary is asked for. Asked for a
 * binary, PoCL first compiles every kernel of the program for work-groups of any size, and then runs none of that
 * (src/backend/opencl/quirks.c). CLBlast and clFFT ask for the binary of every program that they build: clFFT drops it,
 * CLBlast only gives it back for another context of the same process. */
#include <CL/cl_icd.h>
#include <CL/cl_layer.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MARK "genhance: source\n" /* what such a "binary" begins with */

static cl_icd_dispatch ours, next;

/* Whether its only device is PoCL's. */
static bool is_pocls(cl_program program) {
  cl_uint devices = 0;
  cl_device_id device;
  cl_platform_id platform;
  char name[128] = "";
  return !next.clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL) && devices == 1 &&
         !next.clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof device, &device, NULL) &&
         !next.clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) &&
         !next.clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL) &&
         !strcmp(name, "Portable Computing Language");
}

/* NULL: not made from source, of another driver, or no memory. */
static char *source_of(cl_program program, size_t *size) {
  if (!is_pocls(program) || next.clGetProgramInfo(program, CL_PROGRAM_SOURCE, 0, NULL, size) || *size < 2) return NULL;
  char *text = malloc(sizeof MARK - 1 + *size);
  if (!text) return NULL;
  memcpy(text, MARK, sizeof MARK - 1);
  if (!next.clGetProgramInfo(program, CL_PROGRAM_SOURCE, *size, text + sizeof MARK - 1, NULL)) {
    *size += sizeof MARK - 1;
    return text;
  }
  free(text);
  return NULL;
}

static cl_int CL_API_CALL program_info(cl_program program, cl_program_info name, size_t size, void *value,
                                       size_t *value_size) {
  size_t bytes = 0;
  const bool asked = name == CL_PROGRAM_BINARY_SIZES || name == CL_PROGRAM_BINARIES;
  char *text = asked ? source_of(program, &bytes) : NULL;
  if (!text) return next.clGetProgramInfo(program, name, size, value, value_size);
  if (value_size) *value_size = name == CL_PROGRAM_BINARIES ? sizeof text : sizeof bytes;
  if (value && name == CL_PROGRAM_BINARY_SIZES) memcpy(value, &bytes, sizeof bytes);
  if (value && name == CL_PROGRAM_BINARIES && *(char **)value) memcpy(*(char **)value, text, bytes);
  free(text);
  return CL_SUCCESS;
}

static cl_program CL_API_CALL with_binary(cl_context context, cl_uint count, const cl_device_id *devices,
                                          const size_t *sizes, const unsigned char **binaries, cl_int *status,
                                          cl_int *code) {
  const size_t mark = sizeof MARK - 1;
  if (count != 1 || !sizes || !binaries || !binaries[0] || sizes[0] <= mark || memcmp(binaries[0], MARK, mark) != 0)
    return next.clCreateProgramWithBinary(context, count, devices, sizes, binaries, status, code);
  const char *source = (const char *)binaries[0] + mark;
  const size_t length = sizes[0] - mark - 1; /* without the 0 at its end */
  if (status) *status = CL_SUCCESS;
  return next.clCreateProgramWithSource(context, 1, &source, &length, code);
}

__attribute__((visibility("default"))) cl_int clGetLayerInfo(cl_layer_info name, size_t size, void *value,
                                                             size_t *value_size) {
  const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
  if (name != CL_LAYER_API_VERSION || (value && size < sizeof version)) return CL_INVALID_VALUE;
  if (value) memcpy(value, &version, sizeof version);
  if (value_size) *value_size = sizeof version;
  return CL_SUCCESS;
}

__attribute__((visibility("default"))) cl_int clInitLayer(cl_uint count, const cl_icd_dispatch *target,
                                                          cl_uint *our_count, const cl_icd_dispatch **out) {
  const size_t known = sizeof next / sizeof(void *);
  if (!target || !our_count || !out || count < known) return CL_INVALID_VALUE;
  next = ours = *target;
  ours.clGetProgramInfo = program_info;
  ours.clCreateProgramWithBinary = with_binary;
  *our_count = (cl_uint)known;
  *out = &ours;
  return CL_SUCCESS;
}
