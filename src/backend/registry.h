/* The table of backends, and devices by name. */
#ifndef GH_BACKEND_REGISTRY_H
#define GH_BACKEND_REGISTRY_H

#include "backend/backend.h"

extern const gh_backend *const gh_backends[]; /* ends with NULL */

/* Opens "auto" (the first GPU, else the first device; warns once where that is a CPU although a GPU is on the PCI
 * bus), "opencl:1", or the first with that UUID or PCI address; with
 * "/cpu" or "/gpu" appended, kernels of that shape, regardless of the environment. An unknown name is
 * GH_ERROR_ARGUMENT; the text lists the existing devices. */
gh_status gh_device_open(gh_error *err, const char *id, gh_device **out);
/* Checks that gh_device_open would find the name. */
gh_status gh_device_known(gh_error *err, const char *id);
/* Whether the id (without a shape) names that device: its own id, its UUID or its PCI address; the latter two also
 * after the backend's name, since two backends may have the same device: "opencl:0000:3b:00.0". */
bool gh_device_is_named(const gh_device_info *info, const char *id);
void gh_device_close(gh_device *device);

/* Makes it safe to call the drivers, once per process; the functions here do it themselves. `again`: drivers that fail
 * are looked for even where they answered before. */
void gh_devices_prepare(bool again);

/* Fills up to `capacity` infos over all backends and returns how many devices there are; `notes` gets a line for each
 * backend without a device and for each driver without one, with the reason. */
int gh_device_list(gh_device_info *infos, int capacity, char *notes, size_t notes_size);
void gh_join_notes(const char *notes, char *out, size_t size); /* as one line, for an error's text */
gh_status gh_device_none(gh_error *err, const char *notes);    /* the error "no device: ...", from joined notes */

#endif
