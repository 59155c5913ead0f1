/* What tells one device from another, as far as its driver says. */
#ifndef GH_BACKEND_IDENTITY_H
#define GH_BACKEND_IDENTITY_H

#include "base/status.h"

#define GH_SUB_GROUP_SIZES 8

typedef enum gh_known { GH_UNKNOWN, GH_NO, GH_YES } gh_known;

typedef struct gh_device_identity {
  char uuid[40];     /* "01234567-89ab-cdef-0123-456789abcdef"; "" where unknown, as for the other texts */
  char pci[20];      /* "0000:3b:00.0" */
  char vendor[64];   /* as the driver says */
  char compiler[96]; /* of kernels, with its version */
  int64_t vendor_id; /* PCI's number of the vendor where the driver gives that; 0: unknown, as for the other numbers */
  int64_t clock_mhz; /* the highest */
  int64_t cores;     /* of a CPU: hardware threads; of a GPU: lanes that compute at the same time */
  int64_t sub_groups[GH_SUB_GROUP_SIZES]; /* sizes that kernels can have; 0 ends the list */
  gh_known ecc;                           /* whether memory is checked */
  gh_known float16; /* whether kernels may compute in it; genhance's only convert and multiply it */
  int64_t power_limit_mw;
} gh_device_identity;

/* 16 bytes as a UUID's text; all zero: "". */
void gh_identity_uuid(gh_device_identity *out, const unsigned char bytes[16]);
void gh_identity_pci(gh_device_identity *out, unsigned domain, unsigned bus, unsigned device, unsigned function);
/* The power limit that the kernel's driver tells of a PCI device, from `root` ("/sys/bus/pci/devices"). */
void gh_identity_power(gh_device_identity *out, const char *root);

/* The unit that multiplies small bfloat16 matrices: "mma", "amx"; NULL: there is none. */
struct gh_device_info;
const char *gh_identity_matrix_unit(const struct gh_device_info *info);
/* Whether `name` is the UUID (with or without "GPU-" in front) or the PCI address (with or without its domain of 0) of
 * the device. The case of letters does not matter. */
bool gh_identity_is(const gh_device_identity *identity, const char *name);

/* One text for the piece of hardware, the same from every runtime that tells as much: by UUID, else by PCI address and
 * host, of a CPU by host and processor, else by host and name. */
void gh_hardware_name(char *out, size_t size, const gh_device_identity *identity, bool is_cpu, const char *name);
void gh_host_name(char *out, size_t size);
void gh_processor_name(char *out, size_t size); /* of this host: "Intel(R) Xeon(R) ..." */

#endif
