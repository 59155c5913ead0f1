/* All workarounds for single drivers (quirks.c has the reasons). */
#ifndef GH_BACKEND_OPENCL_QUIRKS_H
#define GH_BACKEND_OPENCL_QUIRKS_H

#include <stdbool.h>

typedef struct gh_cl_quirks {
  bool builtins;     /* its compiler for CPUs is clang, with the builtins of AMX and AVX512_BF16 */
  bool host_pages;   /* its CPU device uses host memory in place, so buffers may be memory that we map */
  bool no_binaries;  /* program binaries cannot be loaded, or cost too much to get: always build from source */
  bool no_clfft;     /* its compiler rejects clFFT's kernels: Fourier transforms use our kernels */
  bool gpu_shape;    /* supports only kernels of the GPU's shape, although it is a CPU */
  bool linker;       /* it links kernels with the program ld, and aborts without it */
  bool no_needs;     /* it reports a wrong largest group and local memory for kernels */
  const char *unfit; /* why it must run only small tests, not train; NULL: it may train */
  const char *needs; /* an unreported requirement for having a device; NULL: none */
} gh_cl_quirks;

gh_cl_quirks gh_cl_quirks_of(const char *platform, const char *driver, const char *device);

#endif
