/* Which of the published settings a device can train, for `devices`. */
#ifndef GH_CLI_FITS_H
#define GH_CLI_FITS_H

#include "backend/backend.h"
#include "base/json.h"
#include "base/text.h"

/* Plans both stages of the published settings on the device, without allocating: of the smallest encoder only, or of
 * all. Adds a row of cells (device, setting, stage 1, stage 2) per setting, and an array "fits" to the object. A device
 * that cannot be opened, or must not train, has a cell that says so. */
gh_status gh_fits_add(gh_error *err, gh_json *device, gh_strings *cells, const gh_device_info *info, bool all);

#define GH_FITS_COLUMNS 4
#define GH_FITS_ALIGN   "llll"
extern const char *const gh_fits_heads[GH_FITS_COLUMNS];

#endif
