#include "backend/pci.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

static const struct {
  unsigned vendor;
  const char *kind, *page;
} vendors[] = {{GH_PCI_AMD, "an AMD GPU", "docs/amd.md"},
               {GH_PCI_INTEL, "an Intel GPU", "docs/intel.md"},
               {GH_PCI_NVIDIA, "an NVIDIA GPU", "docs/nvidia.md"}};

const char *gh_pci_kind(unsigned vendor) {
  for (size_t i = 0; i < GH_COUNT(vendors); i++)
    if (vendors[i].vendor == vendor) return vendors[i].kind;
  return NULL;
}

const char *gh_vendor_page(unsigned vendor) {
  for (size_t i = 0; i < GH_COUNT(vendors); i++)
    if (vendors[i].vendor == vendor) return vendors[i].page;
  return "docs/devices.md";
}

static unsigned read_number(const char *folder, const char *device, const char *name) {
  char path[512];
  unsigned number = 0;
  if (snprintf(path, sizeof path, "%s/%.32s/%s", folder, device, name) >= (int)sizeof path) return 0;
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  if (fscanf(file, "%x", &number) != 1) number = 0;
  fclose(file);
  return number;
}

static void read_driver(gh_pci_gpu *gpu, const char *folder) {
  char path[512], target[512];
  snprintf(path, sizeof path, "%.400s/%s/driver", folder, gpu->address);
  const ssize_t size = readlink(path, target, sizeof target - 1);
  if (size <= 0) return;
  target[size] = 0;
  const char *slash = strrchr(target, '/');
  snprintf(gpu->driver, sizeof gpu->driver, "%.31s", slash ? slash + 1 : target);
}

/* Displays; AMD's accelerators without one have a class of their own. */
static bool computes(unsigned class, unsigned vendor) {
  return gh_pci_kind(vendor) && (class >> 16 == 0x03 || (class >> 16 == 0x12 && vendor == GH_PCI_AMD));
}

static int by_address(const void *a, const void *b) {
  return strcmp(((const gh_pci_gpu *)a)->address, ((const gh_pci_gpu *)b)->address);
}

int gh_pci_gpus(gh_pci_gpu *out, int capacity) {
  const char *given = getenv("GH_PCI_DEVICES"), *folder = given && *given ? given : GH_PCI_FOLDER;
  DIR *all = opendir(folder);
  int count = 0;
  for (const struct dirent *entry; all && count < capacity && (entry = readdir(all));) {
    const unsigned vendor = read_number(folder, entry->d_name, "vendor");
    if (!computes(read_number(folder, entry->d_name, "class"), vendor)) continue;
    gh_pci_gpu *gpu = &out[count++];
    *gpu = (gh_pci_gpu){.vendor = vendor};
    snprintf(gpu->address, sizeof gpu->address, "%.19s", entry->d_name);
    read_driver(gpu, folder);
  }
  if (all) closedir(all);
  if (count) qsort(out, (size_t)count, sizeof *out, by_address);
  return count;
}

const char *gh_pci_page(void) {
  gh_pci_gpu first;
  return gh_vendor_page(gh_pci_gpus(&first, 1) ? first.vendor : 0);
}

/* Whether one of the device files can be opened; `out` says why not. */
static bool may_open(const char *pattern, char *out, size_t size) {
  glob_t found;
  int missing = glob(pattern, 0, NULL, &found), failure = ENOENT;
  char path[64];
  snprintf(path, sizeof path, "%s", pattern);
  for (size_t i = 0; !missing && i < found.gl_pathc; i++) {
    if (!access(found.gl_pathv[i], R_OK | W_OK)) failure = 0;
    if (!failure) break;
    failure = errno;
    snprintf(path, sizeof path, "%.63s", found.gl_pathv[i]);
  }
  if (!missing) globfree(&found);
  if (failure == EACCES)
    snprintf(out, size, "no permission for %s (group render)", path);
  else if (failure)
    snprintf(out, size, "there is no %s", path);
  return !failure;
}

void gh_pci_obstacle(char *out, size_t size, const gh_pci_gpu *gpu) {
  static const struct {
    unsigned vendor;
    const char *files[3];
  } needs[] = {{GH_PCI_AMD, {"/dev/kfd", "/dev/dri/renderD*"}},
               {GH_PCI_INTEL, {"/dev/dri/renderD*"}},
               {GH_PCI_NVIDIA, {"/dev/nvidiactl"}}};
  out[0] = 0;
  if (!strcmp(gpu->driver, "nouveau") || !strcmp(gpu->driver, "vfio-pci")) {
    snprintf(out, size, "the kernel gives it to %s", gpu->driver);
    return;
  }
  for (size_t i = 0; i < GH_COUNT(needs); i++)
    for (int k = 0; needs[i].vendor == gpu->vendor && needs[i].files[k]; k++)
      if (!may_open(needs[i].files[k], out, size)) return;
}
