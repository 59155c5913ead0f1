/* Which device a rank takes. */
#ifndef GH_DIST_DEVICES_H
#define GH_DIST_DEVICES_H

#include "dist/comm.h"

/* The name of this rank's device, from what --device or the configuration says. One name: all ranks take it. Several,
 * "cuda:0,opencl:1": the ranks of each host take them in order, one each; GH_ERROR_ARGUMENT where a host has more
 * ranks. "auto": the ranks of a host share its accelerators in order, round and round; a host without any has its first
 * device. "HOST=DEVICES;HOST=DEVICES": what stands there for this host; HOST is a pattern of the
 * shell; GH_ERROR_ARGUMENT where none matches. comm NULL: a single process. The caller frees *out. */
gh_status gh_comm_device(gh_error *err, const gh_comm *comm, const char *given, char **out);

#endif
