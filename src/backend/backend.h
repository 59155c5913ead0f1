/* The interface to a device.
 *
 * A backend (OpenCL; CUDA) fills one `gh_backend` table. All other code uses gh_device, gh_buffer and gh_launch and
 * never names an API. Commands are bound once (arguments, grid) and enqueued many times on the device's in-order queue,
 * so that a recorded step is cheap to replay. */
#ifndef GH_BACKEND_BACKEND_H
#define GH_BACKEND_BACKEND_H

#include "backend/dtype.h"
#include "backend/identity.h"
#include "base/status.h"

/* One kernel source for two shapes of machine (cl/platform.h). GH_KERNEL_SHAPE=cpu|gpu in the environment forces
 * one. */
typedef enum gh_shape {
  GH_SHAPE_CPU, /* one work-item per row, vectors of 16, no barriers */
  GH_SHAPE_GPU  /* a work-group is lanes x rows, at most 256 work-items */
} gh_shape;

/* The unit that multiplies small matrices of bfloat16, or of half, in one instruction (cl/gemm_matrix_units.h). */
typedef enum gh_matrix_unit {
  GH_MATRIX_NONE,
  GH_MATRIX_MMA,    /* NVIDIA, compute capability 8.0 on */
  GH_MATRIX_MFMA,   /* AMD CDNA 2 and 3 */
  GH_MATRIX_WMMA,   /* AMD RDNA 3 */
  GH_MATRIX_DPAS16, /* Intel, smallest sub-groups of 16 */
  GH_MATRIX_DPAS8   /* Intel, smallest sub-groups of 8 */
} gh_matrix_unit;

typedef struct gh_backend gh_backend;
typedef struct gh_buffer gh_buffer; /* device memory, or a view of a part of it; opaque */
typedef struct gh_launch gh_launch; /* a bound command; opaque */

typedef struct gh_device_info {
  char id[32];       /* "opencl:0"; opened with a shape: "opencl:0/gpu" */
  char name[160];    /* as the driver says */
  char platform[96]; /* "Portable Computing Language" */
  char driver[128];  /* driver version: part of every cache key */
  bool is_cpu;
  bool shares_host; /* its memory is the host's: a CPU, or a GPU without memory of its own */
  bool amx;         /* a CPU with bfloat16 tiles that this process may use, and a compiler that supports them */
  bool bf16_dot;    /* a CPU with AVX512_BF16, and a compiler that supports its dot products */
  gh_matrix_unit matrix;
  gh_shape shape;
  const char *unfit; /* why it must run only small tests, not train; NULL: it may train (static text) */
  int compute_units;
  int64_t memory_bytes; /* global memory; on a CPU limited by physical memory and the cgroup; GH_MAX_MEMORY_MIB lowers
                           it, and then no buffer is allocated beyond it */
  int64_t max_buffer_bytes; /* the largest allocation; GH_MAX_BUFFER_MIB in the environment lowers it */
  int64_t local_bytes;      /* of a work-group; GH_MAX_LOCAL_KIB lowers it */
  int64_t max_group;        /* work-items in a work-group; GH_MAX_GROUP lowers it */
  int64_t sub_group;        /* neighbouring work-items that exchange numbers without local memory (cl/row_reduce.h);
                               GH_SUB_GROUP sets it; 0: not used */
  int64_t vector_lanes;     /* float32 numbers in a CPU's vector register; GH_MAX_VECTOR lowers it; 0: not a CPU */
  int64_t alignment_bytes;  /* of a view's offset, at least 512 */
  gh_device_identity identity;
} gh_device_info;

typedef struct gh_choices gh_choices; /* the chosen providers (backend/chooser/chooser.h) */

/* Counts of the operations of a device, kept by its backend. With them, tests and benchmarks check that a step neither
 * allocates nor compiles and waits only when it reads its loss. */
typedef struct gh_counters {
  int64_t allocations;  /* buffers, views, staging buffers, workspaces */
  int64_t binds;        /* commands bound */
  int64_t compilations; /* programs compiled, or loaded from the cache */
  int64_t launches;     /* commands enqueued */
  int64_t sends;
  int64_t writes, reads; /* each waits for the queue */
  int64_t waits;         /* finish, and sends that found no free staging buffer */
  int64_t held_bytes;    /* of the buffers that exist now; without staging buffers and the libraries' workspaces */
  int64_t peak_bytes;    /* the most of that so far, or since the caller last set it to held_bytes */
} gh_counters;

typedef struct gh_device {
  const gh_backend *backend;
  void *impl;
  gh_device_info info;
  const gh_shape *wanted_shape; /* set before device_open; NULL: the environment's, else the kind's */
  gh_choices *choices;          /* NULL until something is chosen */
  gh_counters counters;
} gh_device;

typedef enum gh_arg_kind { GH_ARG_BUFFER, GH_ARG_I32, GH_ARG_I64, GH_ARG_F32 } gh_arg_kind;

typedef struct gh_arg {
  gh_arg_kind kind;
  union {
    const gh_buffer *buffer; /* NULL is passed as a null pointer: an absent optional tensor */
    int32_t i32;
    int64_t i64;
    float f32;
  } value;
} gh_arg;

static inline gh_arg gh_arg_buffer(const gh_buffer *buffer) {
  return (gh_arg){.kind = GH_ARG_BUFFER, .value.buffer = buffer};
}
static inline gh_arg gh_arg_i32(int64_t v) { return (gh_arg){.kind = GH_ARG_I32, .value.i32 = (int32_t)v}; }
static inline gh_arg gh_arg_i64(int64_t v) { return (gh_arg){.kind = GH_ARG_I64, .value.i64 = v}; }
static inline gh_arg gh_arg_f32(double v) { return (gh_arg){.kind = GH_ARG_F32, .value.f32 = (float)v}; }

/* A launch's size: work-groups and work-items per group in each dimension. */
typedef struct gh_grid {
  size_t groups[3];
  size_t local[3];
} gh_grid;

/* A kernel by name. `source` NULL: the program that holds every op's kernels, built once per dtype and shape. Otherwise
 * one file of cl/ (without .cl) compiled alone with `defines` ("-DKC=256 -DNB=32"), for tuned variants. */
typedef struct gh_kernel_id {
  const char *name;
  const char *source;
  const char *defines;
  gh_dtype dtype; /* the ELEM of the program */
} gh_kernel_id;

/* The operation on alpha op(A) op(B) + beta C before it is stored, where the provider can fuse it. */
typedef enum gh_epilogue {
  GH_EPILOGUE_NONE,
  GH_EPILOGUE_BIAS,     /* + bias[column] */
  GH_EPILOGUE_BIAS_GELU /* + bias[column], stored in `before` for the backward pass, then GELU in its tanh form */
} gh_epilogue;

/* C = alpha * op(A) op(B) + beta * C, row-major; sizes in elements. `batch` matrices, each `stride_*` elements apart
 * (0: the same one again). op is a transposition where trans_* is set: A is (m, k) or, transposed, stored (k, m). Sums
 * are always float32; a narrow result is rounded once, to nearest even. A zeroed record is float32. */
typedef struct gh_gemm_desc {
  int64_t m, n, k;
  /* A convolution is also a product. If `image` is set, B's buffer holds images (channels, height, width), stride_b
   * apart, and the kernel forms B from them: a row is (channel, tap) of a side x side kernel, a column is a position
   * (y, x) of the result, whose rows are out_width long. Tap (ky, kx) there is the pixel (y stride + ky - top,
   * x stride + kx - left), or 0 outside the image. k is channels x side x side, and n is the number of positions; with
   * trans_b, as in the gradient of the weights, it is the other way round. Then ldb is ignored, and the bias has m
   * elements. */
  struct {
    int64_t channels, height, width; /* channels 0: B is stored as a matrix */
    int64_t side, stride, top, left, out_width;
    gh_buffer *prepared; /* gh_gemm_prepared_elements(desc) floats, from prepared_offset on */
    int64_t prepared_offset;
  } image;
  bool trans_a, trans_b;
  int64_t lda, ldb, ldc;                /* elements from one stored row to the next */
  int64_t offset_a, offset_b, offset_c; /* elements from the start of the buffers */
  int64_t batch, stride_a, stride_b, stride_c;
  /* A second product of m x n, whose sums join the first one's: C = alpha op(A) op(B) + second.alpha op(A2) op(B2) +
   * beta C. Its matrices are of the same type and stored alike: A2 is (m, second.k) or, transposed, (second.k, m). For
   * one matrix, batch 1, without an image. */
  struct {
    int64_t k, lda, ldb; /* k 0: there is none */
    double alpha;
    const gh_buffer *a, *b;
  } second;
  double alpha, beta; /* beta 0: C is not read, so it may hold anything */
  gh_dtype dtype;     /* of A and B: float32 or narrow */
  gh_dtype dtype_c;   /* of C, bias and before: GH_F32 or, if A and B are narrow, their type; or narrow */
  gh_epilogue epilogue;
  const gh_buffer *bias; /* n elements, the same for the whole batch */
  gh_buffer *before;     /* for GH_EPILOGUE_BIAS_GELU: the input of GELU, laid out like C; NULL: not stored */
} gh_gemm_desc;

typedef enum gh_attention_part {
  GH_ATTENTION_FORWARD,
  GH_ATTENTION_BACKWARD_Q,
  GH_ATTENTION_BACKWARD_KV,
  GH_ATTENTION_PARTS
} gh_attention_part;

/* q (batch, nq, heads, size), k and v (batch, nk, heads, size); the last dimension is contiguous and begins at a
 * multiple of 16 bytes. */
typedef struct gh_attention_desc {
  gh_attention_part part;
  gh_dtype dtype;
  int64_t batch, nq, nk, heads, size;
  int64_t hidden; /* keys that a mask covers; 0: there is no mask */
  bool causal;    /* no query sees a later key */
} gh_attention_desc;

/* A 2-D discrete Fourier transform of `batch` matrices (rows, columns) of complex numbers, packed one after another: a
 * float32 real part, then its imaginary part. Neither direction is scaled: forward and inverse together multiply by
 * rows * columns. */
typedef struct gh_fft_desc {
  int64_t batch, rows, columns;
  bool inverse; /* exp(+2 pi i ..) instead of exp(-2 pi i ..) */
} gh_fft_desc;

/* What the processes of a group have in common; one of them makes it. */
typedef struct gh_group_id {
  char bytes[128];
} gh_group_id;

#define GH_SENDS_BYTES (INT64_C(256) << 20)

/* The size of the staging buffer for a send of `bytes`. Sizes are powers of two, and a staging buffer is reused only
 * for its own size, so that small sends never occupy the memory of large ones. */
int64_t gh_staging_bytes(int64_t bytes);

struct gh_backend {
  const char *name; /* "opencl", "cuda" */

  /* Called before any backend calls a driver: what must happen while this process has called none. `again`: drivers are
   * asked anew whether they work, although they answered before. NULL: nothing. */
  void (*prepare)(bool again);

  /* Number of devices; 0 if there is no driver. why_not (may be NULL) gets a line for each reason: why there is no
   * device, and which driver has none although another has. */
  int (*device_count)(char *why_not, size_t size);
  gh_status (*device_info)(gh_error *err, int index, gh_device_info *info);
  gh_status (*device_open)(gh_error *err, int index, gh_device *device);
  void (*device_close)(gh_device *device);

  gh_status (*buffer_create)(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
  /* The same in the host's memory, where it stays: pinned, and read and written by kernels over the bus. It is used
   * like any other buffer. Not counted in held_bytes, except on a CPU. */
  gh_status (*host_buffer_create)(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
  /* A view shares its parent's memory; offset is a multiple of info.alignment_bytes. The parent outlives it. */
  gh_status (*buffer_view)(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                           gh_buffer **out);
  void (*buffer_free)(gh_buffer *buffer);
  int64_t (*buffer_bytes)(const gh_buffer *buffer);
  gh_status (*write)(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
  /* A write that does not wait for the queue: `from` is copied to a staging buffer and may be reused when the call
   * returns. Waits only if GH_SENDS_BYTES of sends are in flight, and then only for the oldest. */
  gh_status (*send)(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
  /* Allocates staging buffers, so that `count` sends of `bytes` may be in flight without allocating or waiting: from
   * then on there are `count` staging buffers of that size, or as many as fit GH_SENDS_BYTES. */
  gh_status (*reserve_sends)(gh_error *err, gh_device *d, int64_t bytes, int64_t count);
  gh_status (*read)(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes);

  /* Bound commands. Buffers must outlive them. Compilation happens here, never in enqueue. */
  gh_status (*bind_kernel)(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid, const gh_arg *args,
                           int arg_count, gh_launch **out);
  gh_status (*bind_fill)(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                         gh_launch **out);
  gh_status (*bind_copy)(gh_error *err, gh_device *d, gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                         int64_t from_offset, int64_t bytes, gh_launch **out);
  /* The vendor library's GEMM; GH_ERROR_UNSUPPORTED where it does not support the descriptor, its types or its
   * epilogue. (CLBlast may allocate when it runs a product of several matrices; that is not counted.) */
  gh_status (*bind_library_gemm)(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                                 const gh_buffer *b, gh_buffer *c, gh_launch **out);
  /* The vendor library's FFT (clFFT, cuFFT). `from` and `to` are the same buffer or do not overlap; if they differ,
   * `from` is unchanged. GH_ERROR_UNSUPPORTED where the library does not support the size (the text names it) or the
   * device. */
  gh_status (*bind_fft)(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                        gh_launch **out);
  void (*launch_free)(gh_launch *launch);
  gh_status (*enqueue)(gh_error *err, gh_device *d, gh_launch *launch);
  gh_status (*finish)(gh_error *err, gh_device *d);
  /* Optional, both or neither (NULL). Commands enqueued between the two calls are not run but captured as one command,
   * which is enqueued like any other; its parts must outlive it. Only `enqueue` may be called in between. `out` NULL
   * discards the capture. */
  gh_status (*capture_begin)(gh_error *err, gh_device *d);
  gh_status (*capture_end)(gh_error *err, gh_device *d, gh_launch **out);

  /* Optional, both or neither (NULL): the device's own clock. mark(0) and mark(1) bracket what is enqueued in between;
   * `elapsed` then waits and gives its seconds. GH_ERROR_UNSUPPORTED where the driver does not time its queue. */
  gh_status (*mark)(gh_error *err, gh_device *d, int which);
  gh_status (*elapsed)(gh_error *err, gh_device *d, double *seconds);

  /* Optional (NULL): joules that the device has used since some moment in the past, as its vendor's library counts
   * them; NaN where it does not. */
  double (*joules)(gh_device *d);

  /* Optional, all or none (NULL): sums over the devices of several processes, by the vendor's library (NCCL), which
   * adds in an order of its own. All processes make the same calls in the same order. */
  /* Opens the library; GH_ERROR_UNSUPPORTED names what is missing. With `id`, also makes the id of a new group. */
  gh_status (*group_open)(gh_error *err, gh_device *d, gh_group_id *id);
  /* Returns when all processes have joined, each with a device of its own. A device joins one group, for good: later
   * calls change nothing. */
  gh_status (*group_join)(gh_error *err, gh_device *d, const gh_group_id *id, int rank, int ranks);
  /* values[i] (counts[i]), float32 <- the sums over all devices, after the commands enqueued so far and beside those
   * enqueued later. */
  gh_status (*group_sum)(gh_error *err, gh_device *d, gh_buffer *const *values, const int64_t *counts, int count);
  /* Waits until all sums are done; GH_ERROR_DEVICE after so many seconds (0: without limit). */
  gh_status (*group_wait)(gh_error *err, gh_device *d, double seconds);
  /* "NCCL 2.21.5", without the version before group_open; NULL: the environment says not to use it. */
  const char *(*group_name)(const gh_device *d);

  /* Optional, all or none (NULL): other libraries read and write the device's memory by its address, as an MPI may. */
  const char *memory; /* the kind of addresses, as such libraries name it: "cuda" */
  void *(*address)(const gh_buffer *buffer);
  /* Opens a second in-order queue of d, beside that of its commands, for another thread, with `points` points. Only
   * enqueue and finish are called with *beside; it ends before d does. */
  gh_status (*beside_open)(gh_error *err, gh_device *d, int points, gh_device *beside);
  void (*beside_close)(gh_device *beside); /* after a failed beside_open, too */
  /* The thread of d: what is enqueued on d so far becomes the point. The other thread: what is enqueued on beside from
   * now on begins after the point. */
  gh_status (*beside_point)(gh_error *err, gh_device *d, gh_device *beside, int point);
  gh_status (*beside_follow)(gh_error *err, gh_device *beside, int point);

  /* The libraries behind bind_library_gemm and bind_fft, by the names of core/libraries.h; NULL where the device cannot
   * use one. */
  const char *(*gemm_name)(const gh_device *d);
  const char *(*fft_name)(const gh_device *d);
  /* The GEMM library with its version ("CLBlast 1.5.3"), part of tuning keys; NULL if there is none. */
  const char *(*library_name)(const gh_device *d);
};

#endif
