/* The limits of a device that the environment may lower, and the needs of the GPU-shaped kernels. */
#ifndef GH_BACKEND_CORE_LIMITS_H
#define GH_BACKEND_CORE_LIMITS_H

#include "backend/backend.h"

/* Limits the largest buffer to the memory, and to GH_MAX_BUFFER_MIB if that is in the environment. */
gh_status gh_limit_buffers(gh_error *err, gh_device_info *info);

/* The same for work-groups: GH_MAX_GROUP work-items, GH_MAX_LOCAL_KIB of local memory; and for a CPU's vectors:
 * GH_MAX_VECTOR lanes. */
gh_status gh_limit_groups(gh_error *err, gh_device_info *info);

/* GH_SUB_GROUP, if that is in the environment, in place of the device's sub-groups: 0, or a power of two that divides
 * their width, to reduce rows as another device does; a CPU emulates any up to GH_MOST_SUB_GROUP. The results are the
 * same. */
#define GH_MOST_SUB_GROUP 32
gh_status gh_limit_sub_group(gh_error *err, gh_device_info *info);

/* Whether the kernels' vectors of 16 numbers take two registers of a CPU, as with AVX2, whose registers are also half
 * as many: products then keep a quarter of the results in registers. Their bits stay the same. */
bool gh_has_narrow_vectors(const gh_device_info *info);

/* Whether the device has the work-items and local memory that a work-group of the GPU-shaped kernels may need
 * (cl/launch.h). Otherwise it runs the CPU-shaped ones, which need neither: slower, with the same results. */
bool gh_fits_gpu_shape(const gh_device_info *info);

#endif
