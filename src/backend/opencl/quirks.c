#include "backend/opencl/quirks.h"

#include <stddef.h>
#include <string.h>

/* One row per driver: a part of the platform's name, of the driver's version and of the device's name ("" for all), and
 * what it gets. */
static const struct {
  const char *platform, *driver, *device;
  gh_cl_quirks quirks;
} known[] = {
    /* Clang with the host's back end: a function may ask for instructions that the device's name does not promise. With
     * no place for its own cache it has no device at all: services and containers have no home. */
    {"Portable Computing Language",
     "",
     "",
     {.builtins = true, .host_pages = true, .needs = "PoCL needs a folder to write to, $HOME or $POCL_CACHE_DIR"}},
    /* Oclgrind interprets: its "binaries" are LLVM bitcode that names no kernel arguments. */
    {"Oclgrind", "", "", {.no_binaries = true}},
    /* clFFT 2.12 writes kernels that initialise a pointer to float4 with one to float2. Clang took that for a warning
     * until its version 16, which these drivers are newer than, and clFFT sets the options itself. */
    {"Intel(R) OpenCL", "", "", {.no_clfft = true, .host_pages = true}},
    /* Mesa's shader compiler ends all loops of a work-item together after 65535 rounds (LP_MAX_TGSI_LOOP_ITERATIONS,
     * "shared between every loop"), with what they have by then and without a word. And it takes minutes and gigabytes
     * over vectors of 16: work-items are its vector lanes, as a GPU's. Of every kernel it says that groups have at most
     * 32, and counts its local memory twice; groups of 256 give right results. */
    {"rusticl",
     "",
     "llvmpipe",
     {.gpu_shape = true,
      .no_needs = true,
      .unfit = "Mesa's llvmpipe ends a work-item's loops after 65535 rounds, so that large tensors come out wrong"}},
};

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver, const char *device) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strstr(platform, known[i].platform) && strstr(driver, known[i].driver) && strstr(device, known[i].device))
      return known[i].quirks;
  return (gh_cl_quirks){0};
}
