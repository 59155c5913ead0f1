/* Compares our declarations of NVIDIA's libraries with the toolkit's own: every value, every signature. Compiled, never
 * linked, by test_cuda_declarations.sh, if the toolkit's headers are installed. */
#include <cublasLt.h>
#include <cuda.h>
#include <cufft.h>
#include <nvrtc.h>

#define GH_CUDA_TOOLKIT_TYPES
#include "backend/cuda/api.h"

#define SAME_VALUE(ours, theirs, value)      _Static_assert((int)(ours) == (int)(theirs), #theirs);
#define SAME_SIGNATURE(result, name, params) result(*const gh_check_##name) params = name;

GH_CUDA_VALUES(SAME_VALUE)
GH_CUDA_DRIVER(SAME_SIGNATURE)
GH_CUDA_DRIVER_OPTIONAL(SAME_SIGNATURE)
GH_CUDA_NVRTC(SAME_SIGNATURE)
GH_CUDA_LT(SAME_SIGNATURE)
GH_CUDA_FFT(SAME_SIGNATURE)
