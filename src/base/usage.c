#include "base/usage.h"
#include "base/log.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define POWERCAP "/sys/class/powercap"
#define PCI      "/sys/bus/pci/devices"
#define HWMONS   64

int64_t gh_peak_resident_bytes(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}

static bool read_counter(const char *path, double *out) {
  FILE *file = fopen(path, "r");
  const bool read = file && fscanf(file, "%lf", out) == 1 && *out >= 0;
  if (file) fclose(file);
  return read;
}

/* A package's counter is intel-rapl:N/energy_uj; its parts (intel-rapl:N:M) are within it. */
void gh_energy_open(gh_energy *e, const char *folder) {
  *e = (gh_energy){.count = 0};
  for (int zone = 0; zone < GH_ENERGY_ZONES; zone++) {
    gh_error ignored;
    char *file = gh_format(&ignored, "%s/intel-rapl:%d/energy_uj", folder ? folder : POWERCAP, zone);
    char *range = gh_format(&ignored, "%s/intel-rapl:%d/max_energy_range_uj", folder ? folder : POWERCAP, zone);
    const int at = e->count;
    if (file && range && read_counter(file, &e->last[at]) && read_counter(range, &e->range[at])) {
      e->files[at] = file;
      e->count++;
      file = NULL;
    }
    free(file);
    free(range);
  }
}

static char *hwmon_file(const char *folder, const char *address, int number, const char *name) {
  gh_error ignored;
  return gh_format(&ignored, "%s/%s/hwmon/hwmon%d/%s", folder ? folder : PCI, address, number, name);
}

void gh_energy_add_gpu(gh_energy *e, const char *folder, const char *address) {
  bool found = false;
  for (int i = 0; *address && i < HWMONS && !found && e->count < GH_ENERGY_ZONES; i++) {
    char *energy = hwmon_file(folder, address, i, "energy1_input");
    char *power = hwmon_file(folder, address, i, "power1_average");
    double now = 0;
    if (energy && read_counter(energy, &e->last[e->count])) {
      e->range[e->count] = 0; /* 64 bits: it does not begin anew */
      e->files[e->count++] = energy;
      energy = NULL;
      found = true;
    } else if (power && read_counter(power, &now)) {
      e->power = power;
      e->since = gh_now();
      power = NULL;
      found = true;
    }
    free(energy);
    free(power);
  }
}

void gh_energy_close(gh_energy *e) {
  for (int i = 0; i < e->count; i++) free(e->files[i]);
  free(e->power);
  *e = (gh_energy){.count = 0};
}

static double by_power(gh_energy *e) {
  const double now = gh_now(), seconds = now - e->since;
  double microwatts = 0;
  e->since = now;
  return read_counter(e->power, &microwatts) ? microwatts / 1e6 * seconds : NAN;
}

double gh_energy_take(gh_energy *e) {
  double sum = e->power ? by_power(e) : e->count ? 0 : NAN;
  for (int i = 0; i < e->count; i++) {
    double now = 0;
    if (!read_counter(e->files[i], &now)) return NAN;
    sum += (now - e->last[i] + (now < e->last[i] ? e->range[i] : 0)) / 1e6;
    e->last[i] = now;
  }
  return sum;
}
