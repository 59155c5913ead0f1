/* How much of the host's memory this process may use. */
#ifndef GH_BASE_HOST_MEMORY_H
#define GH_BASE_HOST_MEMORY_H

#include <stdint.h>

/* Bytes: physical memory, or the smallest cgroup limit above this process. */
int64_t gh_host_memory_limit(void);

#endif
