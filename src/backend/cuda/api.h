/* NVIDIA's libraries, opened at run time: the driver, NVRTC, cuBLASLt, cuFFT, NVML, NCCL. The declarations are our own,
 * so that the backend builds without a toolkit and the program starts without a driver. tests/cuda_declarations.c
 * compares them with NVIDIA's headers where those are installed; tests/cuda_double/ replaces the libraries where
 * there is no GPU.
 *
 * One table per library: X(result, name, (parameters)). A library that lacks a symbol of its table is not used, and the
 * error names the symbol; those of the OPTIONAL table may be absent. Enumerations are `unsigned` here, as gcc passes
 * them. */
#ifndef GH_BACKEND_CUDA_API_H
#define GH_BACKEND_CUDA_API_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ---- types, with the toolkit's names, so that a file can include both declarations ---- */

typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct _nvrtcProgram *nvrtcProgram;
typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct ncclComm *ncclComm_t;

#ifndef GH_CUDA_TOOLKIT_TYPES /* of unnamed structures in the toolkit: they cannot be declared twice */
typedef unsigned long long CUdeviceptr;
typedef struct gh_lt_desc *cublasLtMatmulDesc_t;
typedef struct gh_lt_layout *cublasLtMatrixLayout_t;
typedef struct gh_lt_preference *cublasLtMatmulPreference_t;
typedef struct cublasLtMatmulAlgo_t {
  uint64_t data[8];
} cublasLtMatmulAlgo_t;
typedef struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  unsigned state;
  float wavesCount;
  int reserved[4];
} cublasLtMatmulHeuristicResult_t;
typedef struct cufftComplex {
  float x, y;
} cufftComplex;
typedef struct CUuuid {
  char bytes[16];
} CUuuid;
#endif

#ifndef GH_NCCL_TYPES /* nccl.h is no part of the toolkit */
typedef struct ncclUniqueId {
  char internal[128];
} ncclUniqueId;
#endif

_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96 &&
                   sizeof(cufftComplex) == 8 && sizeof(CUdeviceptr) == 8 && sizeof(ncclUniqueId) == 128,
               "as the libraries lay them out");

/* ---- values: V(ours, the toolkit's name, value) ---- */

#define GH_CUDA_VALUES(V)                                                                                              \
  V(GH_CU_SUCCESS, CUDA_SUCCESS, 0)                                                                                    \
  V(GH_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY, 2)                                                                  \
  V(GH_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE, 100)                                                                        \
  V(GH_CU_NOT_READY, CUDA_ERROR_NOT_READY, 600)                                                                        \
  V(GH_CU_MAX_THREADS_PER_BLOCK, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1)                                         \
  V(GH_CU_MAX_GRID_X, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 5)                                                           \
  V(GH_CU_MAX_GRID_Y, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 6)                                                           \
  V(GH_CU_MAX_GRID_Z, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 7)                                                           \
  V(GH_CU_SHARED_BYTES, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 8)                                            \
  V(GH_CU_WARP, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 10)                                                                     \
  V(GH_CU_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13)                                                               \
  V(GH_CU_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)                                               \
  V(GH_CU_INTEGRATED, CU_DEVICE_ATTRIBUTE_INTEGRATED, 18)                                                              \
  V(GH_CU_ECC, CU_DEVICE_ATTRIBUTE_ECC_ENABLED, 32)                                                                    \
  V(GH_CU_PCI_BUS, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 33)                                                                 \
  V(GH_CU_PCI_DEVICE, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 34)                                                           \
  V(GH_CU_PCI_DOMAIN, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 50)                                                           \
  V(GH_CU_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)                                                     \
  V(GH_CU_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)                                                     \
  V(GH_CU_FUNCTION_MAX_THREADS, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0)                                            \
  V(GH_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING, 1)                                                              \
  V(GH_CU_EVENT_DEFAULT, CU_EVENT_DEFAULT, 0)                                                                          \
  V(GH_CU_EVENT_NO_TIMING, CU_EVENT_DISABLE_TIMING, 2)                                                                 \
  V(GH_CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_BUFFER, 5)                                                                   \
  V(GH_CU_JIT_ERROR_LOG_BYTES, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6)                                                  \
  V(GH_CU_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)                                                \
  V(GH_NVRTC_SUCCESS, NVRTC_SUCCESS, 0)                                                                                \
  V(GH_NVRTC_COMPILATION, NVRTC_ERROR_COMPILATION, 6)                                                                  \
  V(GH_LT_SUCCESS, CUBLAS_STATUS_SUCCESS, 0)                                                                           \
  V(GH_LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED, 15)                                                              \
  V(GH_LT_INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE, 7)                                                               \
  V(GH_LT_ARCH_MISMATCH, CUBLAS_STATUS_ARCH_MISMATCH, 8)                                                               \
  V(GH_LT_R_32F, CUDA_R_32F, 0)                                                                                        \
  V(GH_LT_R_16F, CUDA_R_16F, 2)                                                                                        \
  V(GH_LT_R_16BF, CUDA_R_16BF, 14)                                                                                     \
  V(GH_LT_COMPUTE_32F, CUBLAS_COMPUTE_32F, 68)                                                                         \
  V(GH_LT_OP_N, CUBLAS_OP_N, 0)                                                                                        \
  V(GH_LT_OP_T, CUBLAS_OP_T, 1)                                                                                        \
  V(GH_LT_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSA, 3)                                                                 \
  V(GH_LT_DESC_TRANSB, CUBLASLT_MATMUL_DESC_TRANSB, 4)                                                                 \
  V(GH_LT_DESC_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE, 7)                                                             \
  V(GH_LT_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)                                                     \
  V(GH_LT_DESC_AUX_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 11)                                             \
  V(GH_LT_DESC_AUX_LD, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 12)                                                       \
  V(GH_LT_DESC_AUX_STRIDE, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, 13)                                         \
  V(GH_LT_DESC_BIAS_TYPE, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26)                                                     \
  V(GH_LT_LAYOUT_BATCH, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5)                                                         \
  V(GH_LT_LAYOUT_STRIDE, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6)                                               \
  V(GH_LT_PREF_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)                                                 \
  V(GH_LT_PREF_REDUCTIONS, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3)                                              \
  V(GH_LT_PREF_ALIGNMENT_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5)                                             \
  V(GH_LT_PREF_ALIGNMENT_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6)                                             \
  V(GH_LT_PREF_ALIGNMENT_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7)                                             \
  V(GH_LT_PREF_ALIGNMENT_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)                                             \
  V(GH_LT_REDUCTION_COMPUTE_TYPE, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)                                           \
  V(GH_LT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_DEFAULT, 1)                                                              \
  V(GH_LT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS, 4)                                                                    \
  V(GH_LT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS, 36)                                                         \
  V(GH_LT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 164)                                                \
  V(GH_FFT_SUCCESS, CUFFT_SUCCESS, 0)                                                                                  \
  V(GH_FFT_ALLOC_FAILED, CUFFT_ALLOC_FAILED, 2)                                                                        \
  V(GH_FFT_NOT_SUPPORTED, CUFFT_NOT_SUPPORTED, 16)                                                                     \
  V(GH_FFT_C2C, CUFFT_C2C, 0x29)                                                                                       \
  V(GH_FFT_FORWARD, CUFFT_FORWARD, -1)                                                                                 \
  V(GH_FFT_INVERSE, CUFFT_INVERSE, 1)

enum {
#define GH_CUDA_VALUE(ours, theirs, value) ours = (value),
  GH_CUDA_VALUES(GH_CUDA_VALUE)
#undef GH_CUDA_VALUE
};

#define GH_NCCL_VALUES(V)                                                                                              \
  V(GH_NCCL_SUCCESS, ncclSuccess, 0)                                                                                   \
  V(GH_NCCL_IN_PROGRESS, ncclInProgress, 7)                                                                            \
  V(GH_NCCL_FLOAT32, ncclFloat32, 7)                                                                                   \
  V(GH_NCCL_SUM, ncclSum, 0)

enum {
#define GH_NCCL_VALUE(ours, theirs, value) ours = (value),
  GH_NCCL_VALUES(GH_NCCL_VALUE)
#undef GH_NCCL_VALUE
};

/* ---- libcuda.so.1 ---- */

#define GH_CUDA_DRIVER(X)                                                                                              \
  X(unsigned, cuInit, (unsigned flags))                                                                                \
  X(unsigned, cuDriverGetVersion, (int *version))                                                                      \
  X(unsigned, cuGetErrorName, (unsigned error, const char **name))                                                     \
  X(unsigned, cuDeviceGetCount, (int *count))                                                                          \
  X(unsigned, cuDeviceGet, (int *device, int ordinal))                                                                 \
  X(unsigned, cuDeviceGetName, (char *name, int size, int device))                                                     \
  X(unsigned, cuDeviceGetAttribute, (int *value, unsigned attribute, int device))                                      \
  X(unsigned, cuDeviceTotalMem_v2, (size_t * bytes, int device))                                                       \
  X(unsigned, cuDevicePrimaryCtxRetain, (CUcontext * context, int device))                                             \
  X(unsigned, cuDevicePrimaryCtxRelease_v2, (int device))                                                              \
  X(unsigned, cuCtxSetCurrent, (CUcontext context))                                                                    \
  X(unsigned, cuMemGetInfo_v2, (size_t * free_bytes, size_t * total))                                                  \
  X(unsigned, cuMemAlloc_v2, (CUdeviceptr * memory, size_t bytes))                                                     \
  X(unsigned, cuMemFree_v2, (CUdeviceptr memory))                                                                      \
  X(unsigned, cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                                           \
  X(unsigned, cuMemFreeHost, (void *memory))                                                                           \
  X(unsigned, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                 \
  X(unsigned, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))                       \
  X(unsigned, cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                 \
  X(unsigned, cuMemsetD32Async, (CUdeviceptr to, unsigned word, size_t words, CUstream stream))                        \
  X(unsigned, cuStreamCreate, (CUstream * stream, unsigned flags))                                                     \
  X(unsigned, cuStreamDestroy_v2, (CUstream stream))                                                                   \
  X(unsigned, cuStreamSynchronize, (CUstream stream))                                                                  \
  X(unsigned, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                                     \
  X(unsigned, cuStreamBeginCapture_v2, (CUstream stream, unsigned mode))                                               \
  X(unsigned, cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                                  \
  X(unsigned, cuEventCreate, (CUevent * event, unsigned flags))                                                        \
  X(unsigned, cuEventDestroy_v2, (CUevent event))                                                                      \
  X(unsigned, cuEventRecord, (CUevent event, CUstream stream))                                                         \
  X(unsigned, cuEventQuery, (CUevent event))                                                                           \
  X(unsigned, cuEventSynchronize, (CUevent event))                                                                     \
  X(unsigned, cuModuleLoadDataEx,                                                                                      \
    (CUmodule * module, const void *image, unsigned options, unsigned *option, void **value))                          \
  X(unsigned, cuModuleUnload, (CUmodule module))                                                                       \
  X(unsigned, cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))                         \
  X(unsigned, cuFuncGetAttribute, (int *value, unsigned attribute, CUfunction function))                               \
  X(unsigned, cuLaunchKernel,                                                                                          \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,       \
     unsigned block_z, unsigned shared_bytes, CUstream stream, void **params, void **extra))                           \
  X(unsigned, cuGraphInstantiateWithFlags, (CUgraphExec * exec, CUgraph graph, unsigned long long flags))              \
  X(unsigned, cuGraphLaunch, (CUgraphExec exec, CUstream stream))                                                      \
  X(unsigned, cuGraphExecDestroy, (CUgraphExec exec))                                                                  \
  X(unsigned, cuGraphDestroy, (CUgraph graph))

/* Used if present: a kernel's parameters (from 12.4), and what only benchmarks and listings need. */
#define GH_CUDA_DRIVER_OPTIONAL(X)                                                                                     \
  X(unsigned, cuDeviceGetUuid_v2, (CUuuid * uuid, int device))                                                         \
  X(unsigned, cuEventElapsedTime, (float *milliseconds, CUevent from, CUevent to))                                     \
  X(unsigned, cuFuncGetParamInfo, (CUfunction function, size_t index, size_t * offset, size_t * bytes))

/* ---- libnvrtc.so.13, .12, .11.2 ---- */

#define GH_CUDA_NVRTC(X)                                                                                               \
  X(unsigned, nvrtcVersion, (int *major, int *minor))                                                                  \
  X(const char *, nvrtcGetErrorString, (unsigned result))                                                              \
  X(unsigned, nvrtcGetNumSupportedArchs, (int *count))                                                                 \
  X(unsigned, nvrtcGetSupportedArchs, (int *archs))                                                                    \
  X(unsigned, nvrtcCreateProgram,                                                                                      \
    (nvrtcProgram * program, const char *source, const char *name, int headers, const char *const *header,             \
     const char *const *include_name))                                                                                 \
  X(unsigned, nvrtcDestroyProgram, (nvrtcProgram * program))                                                           \
  X(unsigned, nvrtcCompileProgram, (nvrtcProgram program, int options, const char *const *option))                     \
  X(unsigned, nvrtcGetProgramLogSize, (nvrtcProgram program, size_t * size))                                           \
  X(unsigned, nvrtcGetProgramLog, (nvrtcProgram program, char *log))                                                   \
  X(unsigned, nvrtcGetPTXSize, (nvrtcProgram program, size_t * size))                                                  \
  X(unsigned, nvrtcGetPTX, (nvrtcProgram program, char *ptx))                                                          \
  X(unsigned, nvrtcGetCUBINSize, (nvrtcProgram program, size_t * size))                                                \
  X(unsigned, nvrtcGetCUBIN, (nvrtcProgram program, char *cubin))

/* ---- libcublasLt.so.13, .12, .11 ---- */

#define GH_CUDA_LT(X)                                                                                                  \
  X(size_t, cublasLtGetVersion, (void))                                                                                \
  X(unsigned, cublasLtCreate, (cublasLtHandle_t * handle))                                                             \
  X(unsigned, cublasLtDestroy, (cublasLtHandle_t handle))                                                              \
  X(unsigned, cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t * desc, unsigned compute_type, unsigned scale_type))     \
  X(unsigned, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t desc))                                                  \
  X(unsigned, cublasLtMatmulDescSetAttribute,                                                                          \
    (cublasLtMatmulDesc_t desc, unsigned attribute, const void *value, size_t bytes))                                  \
  X(unsigned, cublasLtMatrixLayoutCreate,                                                                              \
    (cublasLtMatrixLayout_t * layout, unsigned type, uint64_t rows, uint64_t columns, int64_t ld))                     \
  X(unsigned, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout))                                            \
  X(unsigned, cublasLtMatrixLayoutSetAttribute,                                                                        \
    (cublasLtMatrixLayout_t layout, unsigned attribute, const void *value, size_t bytes))                              \
  X(unsigned, cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * preference))                               \
  X(unsigned, cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference))                                \
  X(unsigned, cublasLtMatmulPreferenceSetAttribute,                                                                    \
    (cublasLtMatmulPreference_t preference, unsigned attribute, const void *value, size_t bytes))                      \
  X(unsigned, cublasLtMatmulAlgoGetHeuristic,                                                                          \
    (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,           \
     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,            \
     cublasLtMatmulHeuristicResult_t *results, int *found))                                                            \
  X(unsigned, cublasLtMatmul,                                                                                          \
    (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,                             \
     cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b, const void *beta, const void *c, \
     cublasLtMatrixLayout_t layout_c, void *d, cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t *algo,      \
     void *workspace, size_t workspace_bytes, CUstream stream))

/* ---- libcufft.so.12, .11, .10 ---- */

#define GH_CUDA_FFT(X)                                                                                                 \
  X(unsigned, cufftGetVersion, (int *version))                                                                         \
  X(unsigned, cufftCreate, (int *plan))                                                                                \
  X(unsigned, cufftDestroy, (int plan))                                                                                \
  X(unsigned, cufftSetAutoAllocation, (int plan, int automatic))                                                       \
  X(unsigned, cufftMakePlanMany64,                                                                                     \
    (int plan, int rank, long long *n, long long *in_embed, long long in_stride, long long in_distance,                \
     long long *out_embed, long long out_stride, long long out_distance, unsigned type, long long batch,               \
     size_t *workspace_bytes))                                                                                         \
  X(unsigned, cufftSetWorkArea, (int plan, void *workspace))                                                           \
  X(unsigned, cufftSetStream, (int plan, CUstream stream))                                                             \
  X(unsigned, cufftExecC2C, (int plan, cufftComplex *in, cufftComplex *out, int direction))

/* ---- libnvidia-ml.so.1, a part of the driver ---- */

#define GH_CUDA_NVML(X)                                                                                                \
  X(unsigned, nvmlInit_v2, (void))                                                                                     \
  X(unsigned, nvmlDeviceGetHandleByPciBusId_v2, (const char *address, void **device))                                  \
  X(unsigned, nvmlDeviceGetTotalEnergyConsumption, (void *device, unsigned long long *millijoules))

/* ---- libnccl.so.2 ---- */

#define GH_CUDA_NCCL(X)                                                                                                \
  X(unsigned, ncclGetVersion, (int *version))                                                                          \
  X(const char *, ncclGetErrorString, (unsigned result))                                                               \
  X(unsigned, ncclGetUniqueId, (ncclUniqueId * id))                                                                    \
  X(unsigned, ncclCommInitRank, (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank))                             \
  X(unsigned, ncclCommAbort, (ncclComm_t comm))                                                                        \
  X(unsigned, ncclCommGetAsyncError, (ncclComm_t comm, unsigned *result))                                              \
  X(unsigned, ncclGroupStart, (void))                                                                                  \
  X(unsigned, ncclGroupEnd, (void))                                                                                    \
  X(unsigned, ncclAllReduce,                                                                                           \
    (const void *from, void *to, size_t count, unsigned type, unsigned op, ncclComm_t comm, CUstream stream))

/* ---- the opened libraries ---- */

#define GH_CUDA_MEMBER(result, name, params) result(*name) params;
typedef struct gh_cuda_driver {
  int version; /* the CUDA version it supports: 13020 is 13.2 */
  GH_CUDA_DRIVER(GH_CUDA_MEMBER)
  GH_CUDA_DRIVER_OPTIONAL(GH_CUDA_MEMBER) /* NULL where absent */
} gh_cuda_driver;
typedef struct gh_nvrtc {
  int major, minor;
  GH_CUDA_NVRTC(GH_CUDA_MEMBER)
} gh_nvrtc;
typedef struct gh_cublaslt {
  GH_CUDA_LT(GH_CUDA_MEMBER)
} gh_cublaslt;
typedef struct gh_cufft {
  GH_CUDA_FFT(GH_CUDA_MEMBER)
} gh_cufft;
typedef struct gh_nvml {
  GH_CUDA_NVML(GH_CUDA_MEMBER)
} gh_nvml;
typedef struct gh_nccl {
  GH_CUDA_NCCL(GH_CUDA_MEMBER)
} gh_nccl;
#undef GH_CUDA_MEMBER

/* The libraries are searched for only in the folders of $GH_CUDA_LIBRARIES, separated by ':', where an empty item means
 * the usual places; if it is unset or empty, in the usual places: the loader's own path, then $CUDA_HOME, $CUDA_PATH,
 * /usr/local/cuda*, and the wheels of $VIRTUAL_ENV, of $CONDA_PREFIX and of the Pythons in $PATH. Opened once and
 * kept. */

/* The driver, initialised; NULL and one line in err (GH_ERROR_DEVICE) if there is none, or if it lacks a symbol or is
 * older than CUDA 11.4. */
const gh_cuda_driver *gh_cuda_driver_get(gh_error *err);
bool gh_cuda_driver_found(void);             /* its library is open; the driver itself is not started by this */
void gh_cuda_driver_refuse(const char *why); /* gh_cuda_driver_get fails from now on */
gh_status gh_cuda_no_device(gh_error *err);  /* the error for a driver without devices: GH_ERROR_DEVICE */

/* The newest major version of the library that supports a device: at most the driver's CUDA, and at most 12 for an
 * `arch` (70 is compute capability 7.0) below 75, which 13 dropped. NULL and one line in err
 * (GH_ERROR_UNSUPPORTED). */
const gh_nvrtc *gh_nvrtc_get(gh_error *err, int arch);
const gh_cublaslt *gh_cublaslt_get(gh_error *err, int arch);
const gh_cufft *gh_cufft_get(gh_error *err, int arch);
const gh_nvml *gh_nvml_get(gh_error *err); /* initialised */
const gh_nccl *gh_nccl_get(gh_error *err);

#endif
