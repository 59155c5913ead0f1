/* The limits of a device that the environment may lower, and what the GPU-shaped kernels need of it. */
#ifndef GH_BACKEND_CORE_LIMITS_H
#define GH_BACKEND_CORE_LIMITS_H

#include "backend/backend.h"

/* The largest buffer is at most the memory, and at most GH_MAX_BUFFER_MIB where that is in the environment. */
gh_status gh_limit_buffers(gh_error *err, gh_device_info *info);

/* The same for work-groups: GH_MAX_GROUP work-items, GH_MAX_LOCAL_KIB of local memory. */
gh_status gh_limit_groups(gh_error *err, gh_device_info *info);

/* Whether it has what a group of the GPU-shaped kernels may need (cl/launch.h). A device that has less runs the
 * CPU-shaped ones, which need neither: slower, with the same results. */
bool gh_fits_gpu_shape(const gh_device_info *info);

#endif
