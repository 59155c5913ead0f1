#include "backend/identity.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "backend/backend.h"

void gh_identity_uuid(gh_device_identity *out, const unsigned char bytes[16]) {
  size_t used = 0;
  unsigned any = 0;
  for (int i = 0; i < 16; i++) {
    const bool dash = i == 4 || i == 6 || i == 8 || i == 10;
    used += (size_t)snprintf(out->uuid + used, sizeof out->uuid - used, "%s%02x", dash ? "-" : "", bytes[i]);
    any |= bytes[i];
  }
  if (!any) out->uuid[0] = 0;
}

void gh_identity_pci(gh_device_identity *out, unsigned domain, unsigned bus, unsigned device, unsigned function) {
  if (domain > 0xffff || bus > 0xff || device > 0x1f || function > 7) return; /* not an address */
  snprintf(out->pci, sizeof out->pci, "%04x:%02x:%02x.%x", domain, bus, device, function);
}

void gh_identity_power(gh_device_identity *out, const char *root) {
  for (int i = 0; i < 64 && *out->pci && !out->power_limit_mw; i++) {
    char path[256];
    long long microwatts = 0;
    snprintf(path, sizeof path, "%s/%s/hwmon/hwmon%d/power1_cap", root, out->pci, i);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fscanf(file, "%lld", &microwatts) == 1 && microwatts > 0) out->power_limit_mw = microwatts / 1000;
    fclose(file);
  }
}

bool gh_identity_is(const gh_device_identity *identity, const char *name) {
  const char *uuid = strncasecmp(name, "GPU-", 4) ? name : name + 4;
  if (*identity->uuid && !strcasecmp(uuid, identity->uuid)) return true;
  if (!*identity->pci) return false;
  return !strcasecmp(name, identity->pci) ||
         (!strncmp(identity->pci, "0000:", 5) && !strcasecmp(name, identity->pci + 5));
}

void gh_host_name(char *out, size_t size) {
  if (gethostname(out, size) || !*out) snprintf(out, size, "unknown");
  out[size - 1] = 0;
}

void gh_processor_name(char *out, size_t size) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[512];
  snprintf(out, size, "unknown processor");
  while (file && fgets(line, sizeof line, file)) {
    const char *value = strchr(line, ':');
    if (strncmp(line, "model name", 10) || !value) continue;
    value += 1 + strspn(value + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
    break;
  }
  if (file) fclose(file);
}

void gh_hardware_name(char *out, size_t size, const gh_device_identity *identity, bool is_cpu, const char *name) {
  char host[128], processor[160];
  gh_host_name(host, sizeof host);
  gh_processor_name(processor, sizeof processor);
  if (is_cpu) /* runtimes for CPUs give UUIDs of their own */
    snprintf(out, size, "%s (%s)", processor, host);
  else if (*identity->uuid)
    snprintf(out, size, "%s (%s)", name, identity->uuid);
  else if (*identity->pci)
    snprintf(out, size, "%s (%s, %s)", name, host, identity->pci);
  else
    snprintf(out, size, "%s (%s)", name, host);
}

const char *gh_identity_matrix_unit(const gh_device_info *info) {
  static const char *const units[] = {
      [GH_MATRIX_NONE] = NULL,   [GH_MATRIX_MMA] = "mma",     [GH_MATRIX_MFMA] = "mfma",
      [GH_MATRIX_WMMA] = "wmma", [GH_MATRIX_DPAS16] = "dpas", [GH_MATRIX_DPAS8] = "dpas"};
  if (units[info->matrix]) return units[info->matrix];
  return info->amx ? "amx" : info->bf16_dot ? "avx512_bf16" : NULL;
}
