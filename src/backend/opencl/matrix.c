/* The matrix unit and the sub-groups of an OpenCL device, from one table of vendors. None of these devices was
 * available when this was written. A wrong unit causes a failed compilation or a failed check; another provider is then
 * used. Wrong sub-groups fail the self-test; GH_SUB_GROUP=0 then does without. */
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"

/* Names from extensions; installed headers may be too old to define them. */
enum { NV_COMPUTE_CAPABILITY_MAJOR = 0x4000, INTEL_SUB_GROUP_SIZES = 0x4108 };

static bool has_extension(cl_device_id device, const char *name) {
  char text[16384] = "";
  if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof text - 1, text, NULL) != CL_SUCCESS) return false;
  for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) /* a longer name may begin with it */
    if (at[strlen(name)] == ' ' || !at[strlen(name)]) return true;
  return false;
}

static gh_matrix_unit nvidia(cl_device_id device, const char *name) {
  (void)name;
  cl_uint major = 0;
  cl_int code = clGetDeviceInfo(device, NV_COMPUTE_CAPABILITY_MAJOR, sizeof major, &major, NULL);
  return code == CL_SUCCESS && major >= 8 ? GH_MATRIX_MMA : GH_MATRIX_NONE;
}

static gh_matrix_unit amd(cl_device_id device, const char *name) { /* "gfx90a:sramecc+:xnack-" */
  (void)device;
  static const struct {
    const char *begin;
    gh_matrix_unit unit;
  } known[] = {{"gfx90a", GH_MATRIX_MFMA}, {"gfx94", GH_MATRIX_MFMA}, {"gfx11", GH_MATRIX_WMMA}};
  for (size_t i = 0; i < GH_COUNT(known); i++)
    if (!strncmp(name, known[i].begin, strlen(known[i].begin))) return known[i].unit;
  return GH_MATRIX_NONE;
}

static int64_t least_sub_group(cl_device_id device) {
  size_t sizes[8], bytes = 0, least = SIZE_MAX;
  if (clGetDeviceInfo(device, INTEL_SUB_GROUP_SIZES, sizeof sizes, sizes, &bytes) != CL_SUCCESS) return 0;
  for (size_t i = 0; i < bytes / sizeof sizes[0]; i++) least = GH_MIN(least, sizes[i]);
  return bytes ? (int64_t)least : 0;
}

static gh_matrix_unit intel(cl_device_id device, const char *name) {
  (void)name;
  if (!has_extension(device, "cl_intel_subgroup_matrix_multiply_accumulate")) return GH_MATRIX_NONE;
  const int64_t least = least_sub_group(device);
  return least == 8 ? GH_MATRIX_DPAS8 : least == 16 ? GH_MATRIX_DPAS16 : GH_MATRIX_NONE;
}

/* ---- sub-groups: a width that divides that of every kernel's ---- */

static int64_t nvidia_sub_group(cl_device_id device, const char *name) {
  (void)device, (void)name;
  return 32;
}

/* The instructions that exchange within 32 lanes exist since gfx8, whose compiler was the first of these. */
static int64_t amd_sub_group(cl_device_id device, const char *name) {
  (void)device;
  return !strncmp(name, "gfx", 3) && strncmp(name, "gfx6", 4) && strncmp(name, "gfx7", 4) ? 32 : 0;
}

static int64_t intel_sub_group(cl_device_id device, const char *name) {
  (void)name;
  return has_extension(device, "cl_intel_subgroups") ? GH_MIN(least_sub_group(device), 32) : 0;
}

static const struct {
  const char *platform;
  gh_matrix_unit (*unit)(cl_device_id device, const char *name);
  int64_t (*sub_group)(cl_device_id device, const char *name);
} vendors[] = {{"NVIDIA", nvidia, nvidia_sub_group},
               {"AMD Accelerated Parallel Processing", amd, amd_sub_group},
               {"Intel", intel, intel_sub_group}};

gh_matrix_unit gh_cl_matrix_unit(cl_device_id device, const gh_device_info *info) {
  if (info->is_cpu) return GH_MATRIX_NONE;
  for (size_t i = 0; i < GH_COUNT(vendors); i++)
    if (strstr(info->platform, vendors[i].platform)) return vendors[i].unit(device, info->name);
  return GH_MATRIX_NONE;
}

int64_t gh_cl_sub_group(cl_device_id device, const gh_device_info *info) {
  for (size_t i = 0; i < GH_COUNT(vendors) && !info->is_cpu; i++)
    if (strstr(info->platform, vendors[i].platform)) return vendors[i].sub_group(device, info->name);
  return 0;
}
