/* Puts the text of a device program together from the embedded kernel sources; the same for every backend. */
#ifndef GH_BACKEND_SOURCE_H
#define GH_BACKEND_SOURCE_H

#include "base/status.h"

/* The main program (name NULL): platform.h, the other headers, every .cl but tuned_*.cl, in a fixed order. Otherwise
 * name.cl alone. `#include "x.h"` is resolved here, each file once: device compilers have no file system of ours.
 * Lines are marked, so that a compiler's messages name the file. The caller frees *out. */
gh_status gh_source_build(gh_error *err, const char *name, char **out);

/* The text is OpenCL C and, in the GPU's shape, CUDA C++ that needs no header: NVRTC takes it as it is. These are the
 * options of a CUDA compilation, ended by NULL, for the backend and for the test that compiles everything with no GPU;
 * to be added: --gpu-architecture=sm_NN, the program's defines. Kernels are extern "C", found by their plain names. */
extern const char *const gh_source_cuda_options[];

#endif
