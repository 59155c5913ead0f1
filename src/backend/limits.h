/* What every backend checks in the same way. */
#ifndef GH_BACKEND_LIMITS_H
#define GH_BACKEND_LIMITS_H

#include "backend/backend.h"

/* The largest buffer is at most the memory, and at most GH_MAX_BUFFER_MIB where that is in the environment. */
gh_status gh_limit_buffers(gh_error *err, gh_device_info *info);

/* The same for work-groups: GH_MAX_GROUP work-items, GH_MAX_LOCAL_KIB of local memory. */
gh_status gh_limit_groups(gh_error *err, gh_device_info *info);

/* What a group of the GPU-shaped kernels may need. A device that has less runs the CPU-shaped ones, which need neither:
 * slower, with the same results. */
#define GH_GPU_GROUP       256
#define GH_GPU_LOCAL_BYTES (32 * 1024)
bool gh_fits_gpu_shape(const gh_device_info *info);

/* [offset, offset + bytes) against a buffer of `whole` bytes (-1: there is no buffer). */
gh_status gh_limit_check_range(gh_error *err, const char *what, int64_t whole, int64_t offset, int64_t bytes);

/* A size in bytes against what the device gives at once. */
gh_status gh_limit_check_size(gh_error *err, const gh_device_info *info, int64_t bytes);

/* The line of a compiler's log that speaks of the first error, for the one line the user reads. */
void gh_first_error(const char *log, char *out, size_t size);

#endif
