/* What NVRTC's double and the driver's agree on: how "PTX" begins; the shared object's bytes follow in hexadecimal.
 * Where GH_DOUBLE_PTX names NVIDIA's own NVRTC, programs are its PTX instead, also in the place of a cubin (ptx.h). */
#ifndef GH_TESTS_CUDA_DOUBLE_IMAGE_H
#define GH_TESTS_CUDA_DOUBLE_IMAGE_H

#define GH_DOUBLE_HEAD    "// PTX of the double\n"
#define DOUBLE_REAL_NVRTC "GH_DOUBLE_PTX"

#endif
