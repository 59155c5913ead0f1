#include "backend/opencl/quirks.h"

#include <stddef.h>
#include <string.h>

/* One row per driver: substrings of the platform's name, the driver's version and the device's name ("" matches all),
 * and the quirks. */
static const struct {
  const char *platform, *driver, *device;
  gh_cl_quirks quirks;
} known[] = {
    /* Clang with the host's back end: a function may enable instructions that the device's name does not imply. Without
     * a folder for its own cache it has no device; services and containers often have no home folder. It keeps what it
     * compiled in that folder, which is ours (drivers.c). Asked for a program's binary, it first compiles every kernel
     * of the program for work-groups of any size, and then runs none of that: more than half of all compilation. */
    {"Portable Computing Language",
     "",
     "",
     {.builtins = true,
      .host_pages = true,
      .no_binaries = true,
      .linker = true,
      .needs = "PoCL needs a folder to write to, $HOME or $POCL_CACHE_DIR"}},
    /* Oclgrind interprets: its "binaries" are LLVM bitcode that names no kernel arguments. */
    {"Oclgrind", "", "", {.no_binaries = true}},
    /* clFFT 2.12 generates kernels that initialise a pointer to float4 with a pointer to float2. Since version 16,
     * which is older than these drivers, clang treats that as an error, and clFFT sets the options itself. */
    {"Intel(R) OpenCL", "", "", {.no_clfft = true, .host_pages = true}},
    /* Mesa's shader compiler silently ends all loops of a work-item after 65535 rounds in total
     * (LP_MAX_TGSI_LOOP_ITERATIONS, "shared between every loop"), with wrong results. It also needs minutes and
     * gigabytes for vectors of 16, since work-items are its vector lanes, as on a GPU. It reports a largest group of 32
     * for every kernel and counts local memory twice; groups of 256 give correct results. */
    {"rusticl",
     "",
     "llvmpipe",
     {.gpu_shape = true,
      .no_needs = true,
      .unfit = "Mesa's llvmpipe ends a work-item's loops after 65535 rounds, so results for large tensors are wrong"}},
};

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver, const char *device) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strstr(platform, known[i].platform) && strstr(driver, known[i].driver) && strstr(device, known[i].device))
      return known[i].quirks;
  return (gh_cl_quirks){0};
}
