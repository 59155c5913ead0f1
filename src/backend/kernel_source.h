/* Assembles the text of a device program from the embedded kernel sources, for every backend. */
#ifndef GH_BACKEND_KERNEL_SOURCE_H
#define GH_BACKEND_KERNEL_SOURCE_H

#include "backend/backend.h"

/* The main program (name NULL): platform.h, the other headers, every .cl but tuned_*.cl, in a fixed order. Otherwise
 * name.cl alone, or cuda/name.cu, which only NVRTC reads. `#include "x.h"` is resolved here, each file once, since
 * device compilers cannot read the embedded files. Lines are marked, so that a compiler's messages name the file. The
 * caller frees *out. */
gh_status gh_kernel_source(gh_error *err, const char *name, char **out);

#define GH_KERNEL_OPENCL_OPTIONS "-cl-std=CL1.2 -Werror" /* of every OpenCL compilation */

/* The define of a device's sub-groups, a format for gh_device_info.sub_group; without it kernels do not use them. */
#define GH_KERNEL_SUB_GROUP "-DSUB_GROUP=%d"

/* The define that makes dtype the ELEM of a program, "" for float32; NULL where kernels do not support it. */
const char *gh_kernel_elem_define(gh_dtype dtype);

/* The text is OpenCL C and, in the GPU's shape, also CUDA C++ that needs no header, which NVRTC compiles unchanged.
 * This function gives the options of a CUDA compilation, separated by blanks, for the backend and for the test that
 * compiles everything without a GPU. The caller adds --gpu-architecture=sm_NN and the defines of a variant. Kernels are
 * extern "C", found by their plain names. GH_ERROR_UNSUPPORTED for a dtype as above, and for the CPU's shape. */
gh_status gh_kernel_cuda_options(gh_error *err, const gh_device_info *info, gh_dtype dtype, char *out, size_t size);

#endif
