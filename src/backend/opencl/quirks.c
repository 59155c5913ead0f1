#include "backend/opencl/quirks.h"

#include <stddef.h>
#include <string.h>

/* One row a driver: a part of the platform's name, a part of the driver version ("" for all), and what it gets. */
static const struct {
  const char *platform, *driver;
  gh_cl_quirks quirks;
} known[] = {
    /* Clang with the host's back end: a function may ask for instructions that the device's name does not promise. */
    {"Portable Computing Language", "", {.amx = true}},
    /* Oclgrind interprets: its "binaries" are LLVM bitcode that names no kernel arguments. */
    {"Oclgrind", "", {.no_binaries = true}},
};

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strstr(platform, known[i].platform) && strstr(driver, known[i].driver)) return known[i].quirks;
  return (gh_cl_quirks){0};
}
