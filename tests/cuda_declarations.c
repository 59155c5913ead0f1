/* Compares our declarations of NVIDIA's libraries with their own headers: every value, every signature. Compiled, never
 * linked, if the toolkit's headers are installed. NCCL's header comes by itself and is compared where it is found. */
#include <cublasLt.h>
#include <cuda.h>
#include <cufft.h>
#include <nvrtc.h>
#if __has_include(<nccl.h>)
#include <nccl.h>
#define GH_NCCL_TYPES
#endif

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
#ifdef GH_NCCL_TYPES
GH_NCCL_VALUES(SAME_VALUE)
GH_CUDA_NCCL(SAME_SIGNATURE)
#endif
