/* What NVRTC's double and the driver's agree on: how "PTX" begins; the shared object's bytes follow in hexadecimal. */
#ifndef GH_TESTS_CUDA_DOUBLE_IMAGE_H
#define GH_TESTS_CUDA_DOUBLE_IMAGE_H

#define GH_DOUBLE_PTX "// PTX of the double\n"

#endif
