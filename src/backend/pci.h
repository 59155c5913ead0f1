/* GPUs that the kernel sees on the PCI bus, whether or not a driver of ours offers them as devices. */
#ifndef GH_BACKEND_PCI_H
#define GH_BACKEND_PCI_H

#include <stdbool.h>
#include <stddef.h>

enum { GH_PCI_AMD = 0x1002, GH_PCI_INTEL = 0x8086, GH_PCI_NVIDIA = 0x10de }; /* vendors */

#define GH_PCI_FOLDER "/sys/bus/pci/devices"

typedef struct gh_pci_gpu {
  char address[20]; /* "0000:3b:00.0" */
  unsigned vendor;  /* 0x10de */
  char driver[32];  /* of the kernel: "amdgpu"; "": none */
} gh_pci_gpu;

/* Fills up to `capacity` GPUs of AMD, Intel and NVIDIA, by address, and returns how many. Displays of other vendors (of
 * a server's management, of virtual machines) compute nothing. The folder is GH_PCI_FOLDER, or $GH_PCI_DEVICES. */
int gh_pci_gpus(gh_pci_gpu *out, int capacity);

/* "an AMD GPU"; why no driver offers it, as far as files say: "no permission for /dev/kfd (group render)", else "". */
const char *gh_pci_kind(unsigned vendor);
void gh_pci_obstacle(char *out, size_t size, const gh_pci_gpu *gpu);

/* The page of the manual on a vendor's GPUs, "docs/amd.md"; docs/devices.md for others. */
const char *gh_vendor_page(unsigned vendor);
/* The page that helps where no GPU is found: that of the first GPU on the bus, else docs/devices.md. */
const char *gh_pci_page(void);

#endif
