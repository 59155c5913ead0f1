/* All workarounds for single drivers, in one place (quirks.c says why). */
#ifndef GH_BACKEND_OPENCL_QUIRKS_H
#define GH_BACKEND_OPENCL_QUIRKS_H

#include <stdbool.h>

typedef struct gh_cl_quirks {
  bool builtins;     /* its compiler for CPUs is clang with its builtins: AMX's, AVX512_BF16's */
  bool host_pages;   /* its CPU uses the host's memory in place: buffers may be pages of ours */
  bool no_binaries;  /* program binaries do not load again: build from source every time */
  bool no_clfft;     /* its compiler refuses clFFT's kernels: Fourier transforms are our own */
  bool gpu_shape;    /* kernels of the GPU's shape only, although it is a CPU */
  bool no_needs;     /* what it reports of a kernel's largest group and local memory is wrong */
  const char *unfit; /* why it can run small tests and must not train; NULL: it can */
  const char *needs; /* what it needs to have a device, without saying so; NULL: nothing */
} gh_cl_quirks;

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver, const char *device);

#endif
