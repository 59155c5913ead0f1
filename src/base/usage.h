/* What the process and its processors have used: memory and energy. */
#ifndef GH_BASE_USAGE_H
#define GH_BASE_USAGE_H

#include "base/status.h"

/* Bytes of resident memory of this process at its peak so far. */
int64_t gh_peak_resident_bytes(void);

#define GH_ENERGY_ZONES 16

/* The energy counters of the processor's packages: Linux's powercap, which Intel and AMD fill (RAPL). They cover
 * everything that runs on the machine. The kernel lets only root read them unless an administrator allows it. And of a
 * GPU, from its kernel driver (hwmon): Intel's counts energy; AMD's tells the power, which is taken for constant
 * between two calls. */
typedef struct gh_energy {
  char *files[GH_ENERGY_ZONES];
  double range[GH_ENERGY_ZONES], last[GH_ENERGY_ZONES]; /* in microjoules; a counter begins anew after its range */
  int count;
  char *power; /* a file with microwatts, or NULL */
  double since;
} gh_energy;

/* Finds the readable counters below the folder; NULL: the system's. Without any, count is 0. */
void gh_energy_open(gh_energy *e, const char *folder);
/* Adds those of the GPU at a PCI address ("0000:03:00.0"; "": unknown) below the folder; NULL: the system's. */
void gh_energy_add_gpu(gh_energy *e, const char *folder, const char *address);
void gh_energy_close(gh_energy *e);
/* Joules since the last call, or since opening, of all that was found. NaN: nothing was found, or a counter failed. */
double gh_energy_take(gh_energy *e);

#endif
