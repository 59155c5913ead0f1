/* Shared by the files of the CUDA backend. Nothing outside this folder includes it. The files are layered in the order
 * of the sections below: none calls a function that is declared after its own section. */
#ifndef GH_BACKEND_CUDA_INTERNAL_H
#define GH_BACKEND_CUDA_INTERNAL_H

#include "backend/backend.h"
#include "backend/core/buffer.h"
#include "backend/core/program.h"
#include "backend/core/staging.h"
#include "backend/cuda/api.h"

/* NCCL's group of this device and those of other processes. */
typedef struct gh_cuda_group {
  const gh_nccl *nccl; /* NULL: not yet needed */
  char name[32];       /* "NCCL 2.21.5" */
  ncclComm_t comm;
  CUstream stream; /* its sums, beside the commands */
  CUevent event;
} gh_cuda_group;

typedef struct gh_cuda_device {
  const gh_cuda_driver *cu;
  const gh_nvrtc *nvrtc;
  const char *id; /* the gh_device's, for error text */
  int ordinal;    /* the driver's */
  CUcontext context;
  CUstream stream; /* in order: every command */
  CUstream copies; /* sends in flight to the device, parallel to the commands */
  int arch;        /* 90 is compute capability 9.0 */
  int target; /* the architecture of programs: the newest that NVRTC supports and that is not newer than the device */
  bool ptx;   /* the driver compiles the last step: NVRTC supports no architecture of the device's generation */
  int max_groups[3];
  bool capturing;
  char compiler[48]; /* "NVRTC 13.0" */
  gh_program_cache programs;
  gh_staging_pool staging;
  const gh_cublaslt *lt; /* NULL: none */
  cublasLtHandle_t lt_handle;
  CUdeviceptr workspace; /* of cuBLASLt; one is enough, since commands run in order */
  char library[64];      /* "cuBLASLt 13.4.1" */
  const gh_cufft *fft;   /* NULL: not yet needed */
  CUevent marks[2];      /* of the clock; NULL: not yet needed */
  gh_cuda_group group;
} gh_cuda_device;

/* Memory, or a view of it. */
typedef struct gh_cuda_buffer {
  gh_buffer base;
  gh_cuda_device *device;
  CUdeviceptr at;
  bool on_host; /* of an allocation: pinned memory */
} gh_cuda_buffer;

#define GH_CUDA_MAX_ARGS 48

typedef struct gh_cuda_kernel_launch {
  CUfunction function;
  unsigned groups[3], local[3];
  union {
    CUdeviceptr pointer;
    int32_t i32;
    int64_t i64;
    float f32;
  } args[GH_CUDA_MAX_ARGS];
  void *params[GH_CUDA_MAX_ARGS]; /* where the arguments are */
} gh_cuda_kernel_launch;

typedef struct gh_cuda_fill_launch {
  CUdeviceptr to;
  size_t words;
  uint32_t word;
} gh_cuda_fill_launch;

typedef struct gh_cuda_copy_launch {
  CUdeviceptr to, from;
  size_t bytes;
} gh_cuda_copy_launch;

typedef struct gh_cuda_gemm_launch {
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t a, b, c; /* column-major: A and B are exchanged */
  cublasLtMatmulAlgo_t algo;
  CUdeviceptr at_a, at_b, at_c;
  float alpha, beta;
  size_t workspace_bytes;
} gh_cuda_gemm_launch;

typedef struct gh_cuda_fft_launch {
  int plan;
  bool planned, inverse;
  CUdeviceptr from, to, workspace;
} gh_cuda_fft_launch;

struct gh_launch {
  gh_status (*enqueue)(gh_error *err, gh_cuda_device *device, gh_launch *launch);
  void (*release)(gh_launch *launch); /* NULL: the launch owns only memory */
  gh_cuda_device *device;
  char name[64]; /* for error text */
  union {
    gh_cuda_kernel_launch kernel;
    gh_cuda_fill_launch fill;
    gh_cuda_copy_launch copy;
    gh_cuda_gemm_launch gemm;
    gh_cuda_fft_launch fft;
    CUgraphExec graph;
  } of;
};

static inline gh_cuda_device *gh_cuda(const gh_device *d) { return d->impl; }

static inline CUdeviceptr gh_cuda_at(const gh_buffer *buffer) { /* 0 of no buffer */
  return buffer ? ((const gh_cuda_buffer *)buffer)->at : 0;
}

/* error.c. GH_ERROR_DEVICE (GH_ERROR_MEMORY where the code says so) and "what: CUDA_ERROR_INVALID_VALUE (1)". */
gh_status gh_cuda_fail(gh_error *err, const gh_cuda_driver *cu, unsigned code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Makes the device's context the thread's: before every group of calls, since a process may use several devices. */
gh_status gh_cuda_enter(gh_error *err, gh_cuda_device *device);
/* The same; rejects operations that a capture cannot contain: transfers, waits, allocations. */
gh_status gh_cuda_enter_uncaptured(gh_error *err, gh_cuda_device *device, const char *what);

/* energy.c */
double gh_cuda_joules(gh_device *d);

/* identity.c */
int gh_cuda_attribute(const gh_cuda_driver *cu, unsigned which, int device); /* 0 if the driver does not report it */
int gh_cuda_architecture(const gh_cuda_driver *cu, int device);              /* 90 is compute capability 9.0 */
/* Fills info->identity; info must already have its multiprocessors. */
void gh_cuda_identify(const gh_cuda_driver *cu, int device, gh_device_info *info);

/* describe.c */
int gh_cuda_device_count(char *why_not, size_t size);
gh_status gh_cuda_describe(gh_error *err, int index, gh_device_info *info, int *ordinal); /* NULL: not wanted */

/* prepare.c: gh_backend.prepare */
void gh_cuda_prepare(bool again);

/* program.c: finds NVRTC and the architecture to compile for */
gh_status gh_cuda_programs_open(gh_error *err, gh_device *d);

/* memory.c */
extern const gh_staging_kind gh_cuda_staging_kind;
gh_status gh_cuda_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
gh_status gh_cuda_host_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
gh_status gh_cuda_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                              gh_buffer **out);
void gh_cuda_buffer_free(gh_buffer *buffer);
/* Allocates device memory; the error names the requested and the free bytes. */
gh_status gh_cuda_allocate(gh_error *err, gh_cuda_device *device, int64_t bytes, const char *what, CUdeviceptr *out);
gh_status gh_cuda_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
gh_status gh_cuda_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count);
gh_status gh_cuda_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
gh_status gh_cuda_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes);

/* launch.c */
gh_status gh_cuda_bind_kernel(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid,
                              const gh_arg *args, int arg_count, gh_launch **out);
gh_status gh_cuda_bind_fill(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                            gh_launch **out);
gh_status gh_cuda_bind_copy(gh_error *err, gh_device *d, gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                            int64_t from_offset, int64_t bytes, gh_launch **out);
gh_launch *gh_cuda_launch_new(gh_error *err, gh_device *d, const char *name); /* NULL: out of memory */
void gh_cuda_launch_free(gh_launch *launch);
gh_status gh_cuda_enqueue(gh_error *err, gh_device *d, gh_launch *launch);
gh_status gh_cuda_finish(gh_error *err, gh_device *d);

/* clock.c */
gh_status gh_cuda_mark(gh_error *err, gh_device *d, int which);
gh_status gh_cuda_elapsed(gh_error *err, gh_device *d, double *seconds);
void gh_cuda_clock_free(gh_cuda_device *device);

/* group.c */
gh_status gh_cuda_group_open(gh_error *err, gh_device *d, gh_group_id *id);
gh_status gh_cuda_group_join(gh_error *err, gh_device *d, const gh_group_id *id, int rank, int ranks);
gh_status gh_cuda_group_sum(gh_error *err, gh_device *d, gh_buffer *const *values, const int64_t *counts, int count);
gh_status gh_cuda_group_wait(gh_error *err, gh_device *d, double seconds);
const char *gh_cuda_group_name(const gh_device *d);
void gh_cuda_group_free(gh_cuda_device *device);

/* beside.c */
void *gh_cuda_address(const gh_buffer *buffer);
gh_status gh_cuda_beside_open(gh_error *err, gh_device *d, int points, gh_device *beside);
void gh_cuda_beside_close(gh_device *beside);
gh_status gh_cuda_beside_point(gh_error *err, gh_device *d, gh_device *beside, int point);
gh_status gh_cuda_beside_follow(gh_error *err, gh_device *beside, int point);

/* graph.c */
gh_status gh_cuda_capture_begin(gh_error *err, gh_device *d);
gh_status gh_cuda_capture_end(gh_error *err, gh_device *d, gh_launch **out);

/* blas.c */
void gh_cuda_blas_open(gh_cuda_device *device);
void gh_cuda_blas_close(gh_cuda_device *device);
gh_status gh_cuda_bind_gemm(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                            const gh_buffer *b, gh_buffer *c, gh_launch **out);
const char *gh_cuda_gemm_name(const gh_device *d);
const char *gh_cuda_library_name(const gh_device *d);

/* fft.c */
gh_status gh_cuda_bind_fft(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                           gh_launch **out);
const char *gh_cuda_fft_name(const gh_device *d);

#endif
