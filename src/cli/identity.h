/* What `devices` says of a device's identity (backend/identity.h). */
#ifndef GH_CLI_IDENTITY_H
#define GH_CLI_IDENTITY_H

#include "backend/backend.h"
#include "base/json.h"
#include "config/config.h"

/* Keys bfloat16, float16, float16_use, mixed_precision, trains, unfit, uuid, pci_address, vendor, vendor_id, compiler,
 * clock_mhz, cores, sub_group_sizes, matrix_unit, ecc, power_limit_watts and hardware; null where the driver does not
 * tell. */
gh_status gh_identity_put(gh_error *err, gh_json *device, const gh_device_info *info);
void gh_identity_print(const gh_device_info *info); /* the known ones, for --verbose */
/* The unit that multiplies bfloat16 matrices: "mma", "amx"; NULL: none. "units", "dot products", "stored only": what
 * bfloat16 gains. */
const char *gh_identity_bf16(const gh_device_info *info);
/* The same for float16; "converted": the device's own instructions convert it. */
const char *gh_identity_f16(const gh_device_info *info);
/* The one to prefer for mixed precision. Both work on every device. */
gh_precision gh_identity_advised(const gh_device_info *info);
/* How the driver's environment selects and orders CUDA's devices, if it does. */
void gh_identity_print_order(void);

#endif
