/* Everything the backend knows about single drivers, in one place (quirks.c says why). */
#ifndef GH_BACKEND_OPENCL_QUIRKS_H
#define GH_BACKEND_OPENCL_QUIRKS_H

#include <stdbool.h>

typedef struct gh_cl_quirks {
  bool no_fill;     /* clEnqueueFillBuffer cannot be trusted: fills go through a host write */
  bool amx;         /* its compiler for CPUs takes AMX's builtins */
  bool no_binaries; /* program binaries do not load again: build from source every time */
} gh_cl_quirks;

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver);

#endif
