/* Shared by the files of the OpenCL backend. Nothing outside this folder includes it. The files are layered in the
 * order of the sections below: none calls a function that is declared after its own section. */
#ifndef GH_BACKEND_OPENCL_OPENCL_H
#define GH_BACKEND_OPENCL_OPENCL_H

#include <CL/cl.h>

#include "backend/backend.h"
#include "backend/core/buffer.h"
#include "backend/core/program.h"
#include "backend/core/staging.h"
#include "backend/opencl/quirks.h"

typedef struct gh_cl_device {
  cl_platform_id platform;
  cl_device_id id;
  cl_context context;
  cl_command_queue queue; /* in order */
  cl_command_queue
      timed; /* the same with the device's clock, in the place of the other between two marks; NULL: not yet needed */
  cl_command_queue plain; /* the other meanwhile */
  cl_event marks[2];
  gh_cl_quirks quirks;
  char options[256]; /* of every build on this device */
  gh_program_cache programs;
  gh_staging_pool staging;
  cl_mem workspace; /* of CLBlast's single products and clFFT; one is enough, since commands run in order */
  size_t workspace_bytes;
  bool uses_clfft;
} gh_cl_device;

/* Memory, or a view of it: a sub-buffer of the allocation, since OpenCL does not support sub-buffers of sub-buffers. */
typedef struct gh_cl_buffer {
  gh_buffer base;
  cl_mem mem;
} gh_cl_buffer;

typedef struct gh_cl_kernel_launch {
  cl_kernel kernel;
  size_t global[3], local[3];
} gh_cl_kernel_launch;

typedef struct gh_cl_fill_launch {
  cl_mem to;
  size_t offset, bytes;
  uint32_t word;
} gh_cl_fill_launch;

typedef struct gh_cl_copy_launch {
  cl_mem to, from;
  size_t to_offset, from_offset, bytes;
} gh_cl_copy_launch;

typedef struct gh_cl_gemm_launch {
  gh_gemm_desc desc;
  cl_mem a, b, c;
} gh_cl_gemm_launch;

typedef struct gh_cl_fft_launch {
  size_t plan; /* clfftPlanHandle */
  cl_mem from, to;
  bool inverse, scratch; /* needs the workspace */
} gh_cl_fft_launch;

struct gh_launch {
  gh_status (*enqueue)(gh_error *err, gh_cl_device *device, gh_launch *launch);
  void (*release)(gh_launch *launch); /* NULL: the launch owns only memory */
  char name[64];                      /* for error text */
  union {
    gh_cl_kernel_launch kernel;
    gh_cl_fill_launch fill;
    gh_cl_copy_launch copy;
    gh_cl_gemm_launch gemm;
    gh_cl_fft_launch fft;
  } of;
};

static inline gh_cl_device *gh_cl(const gh_device *d) { return d->impl; }

static inline cl_mem gh_cl_mem(const gh_buffer *buffer) { /* NULL of no buffer */
  return buffer ? ((const gh_cl_buffer *)buffer)->mem : NULL;
}

/* error.c: GH_ERROR_DEVICE (GH_ERROR_MEMORY where the code says so) and "what: CL_INVALID_VALUE (-30)". */
gh_status gh_cl_fail(gh_error *err, cl_int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* amx.c: requests AMX's tiles from the system, once; false if the system or the CPU has none with bfloat16. */
bool gh_amx_allowed(void);

/* matrix.c: info must already have name, platform and kind */
gh_matrix_unit gh_cl_matrix_unit(cl_device_id device, const gh_device_info *info);
int64_t gh_cl_sub_group(cl_device_id device, const gh_device_info *info); /* gh_device_info.sub_group */

/* drivers.c: makes it safe to call the drivers; to be called before anything else here or in another backend calls one.
 * NULL, or why none may be called. Asking again ignores that they answered before; call it first. */
const char *gh_cl_drivers_prepare(void);
void gh_cl_drivers_ask_again(void);
/* A line for each driver that was asked in this process, answered, and has no device: "opencl: FILE: the driver cannot
 * be loaded: ..."; "": none. */
const char *gh_cl_drivers_idle(void);
/* identity.c: fills info->identity; info must already have kind and compute units */
void gh_cl_identify(cl_platform_id platform, cl_device_id device, gh_device_info *info);

/* describe.c */
typedef struct gh_cl_place {
  cl_platform_id platform;
  cl_device_id device;
} gh_cl_place;
int gh_cl_device_count(char *why_not, size_t size);
gh_status gh_cl_describe(gh_error *err, int index, gh_device_info *info, gh_cl_place *place); /* NULL: not wanted */
/* Checks that the device supports the shape of kernels in `info`; warns if that is not the shape of its kind. */
gh_status gh_cl_check_shape(gh_error *err, const gh_device_info *info, const gh_cl_quirks *quirks);

/* program.c */
void gh_cl_programs_open(gh_device *d);

/* context.c: device->context and the programs that it already has; options and quirks must be set */
cl_int gh_cl_context_open(gh_cl_device *device);
void gh_cl_context_close(gh_device *d);

/* memory.c */
extern const gh_staging_kind gh_cl_staging_kind;
gh_status gh_cl_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
gh_status gh_cl_host_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out);
gh_status gh_cl_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                            gh_buffer **out);
void gh_cl_buffer_free(gh_buffer *buffer);
gh_status gh_cl_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
gh_status gh_cl_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count);
gh_status gh_cl_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes);
gh_status gh_cl_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes);
/* Grows device->workspace to at least `bytes`; `whose` is for error text. */
gh_status gh_cl_reserve_workspace(gh_error *err, gh_device *d, size_t bytes, const char *whose);
void gh_cl_workspace_free(gh_cl_device *device);

/* launch.c */
gh_status gh_cl_bind_kernel(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid,
                            const gh_arg *args, int arg_count, gh_launch **out);
gh_status gh_cl_bind_fill(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                          gh_launch **out);
gh_status gh_cl_bind_copy(gh_error *err, gh_device *d, gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                          int64_t from_offset, int64_t bytes, gh_launch **out);
void gh_cl_launch_free(gh_launch *launch);
gh_status gh_cl_enqueue(gh_error *err, gh_device *d, gh_launch *launch);
gh_status gh_cl_finish(gh_error *err, gh_device *d);

/* clock.c */
gh_status gh_cl_mark(gh_error *err, gh_device *d, int which);
gh_status gh_cl_elapsed(gh_error *err, gh_device *d, double *seconds);
void gh_cl_clock_free(gh_cl_device *device);

/* clblast.c */
gh_status gh_cl_bind_clblast(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                             const gh_buffer *b, gh_buffer *c, gh_launch **out);
const char *gh_cl_gemm_name(const gh_device *d);
const char *gh_cl_library_name(const gh_device *d);

/* clfft.c */
gh_status gh_cl_bind_clfft(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                           gh_launch **out);
const char *gh_cl_fft_name(const gh_device *d);
void gh_cl_clfft_end(gh_cl_device *device);

#endif
