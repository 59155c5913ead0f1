/* The interface between NVRTC's double and the driver's: the header of "PTX", which the shared object's bytes follow in
 * hexadecimal. If GH_DOUBLE_PTX names NVIDIA's own NVRTC, programs are its PTX instead, which also replaces cubins
 * (ptx.h). */
#ifndef GH_TESTS_CUDA_DOUBLE_IMAGE_H
#define GH_TESTS_CUDA_DOUBLE_IMAGE_H

#define GH_DOUBLE_HEAD    "// PTX of the double\n"
#define DOUBLE_REAL_NVRTC "GH_DOUBLE_PTX"

#endif
