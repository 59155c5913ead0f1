/* Bound commands: a kernel with its arguments and grid, a fill, a copy. Bound once, enqueued many times. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/internal.h"

gh_launch *gh_cuda_launch_new(gh_error *err, gh_device *d, const char *name) {
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return NULL;
  launch->device = gh_cuda(d);
  snprintf(launch->name, sizeof launch->name, "%s", name);
  return launch;
}

/* ---- kernels ---- */

static gh_status enqueue_kernel(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  gh_cuda_kernel_launch *k = &launch->of.kernel;
  unsigned code = device->cu->cuLaunchKernel(k->function, k->groups[0], k->groups[1], k->groups[2], k->local[0],
                                             k->local[1], k->local[2], 0, device->stream, k->params, NULL);
  return code ? gh_cuda_fail(err, device->cu, code, "kernel %s", launch->name) : GH_OK;
}

/* Bytes of an argument of each kind. */
static const size_t arg_bytes[] = {[GH_ARG_BUFFER] = sizeof(CUdeviceptr),
                                   [GH_ARG_I32] = sizeof(int32_t),
                                   [GH_ARG_I64] = sizeof(int64_t),
                                   [GH_ARG_F32] = sizeof(float)};

/* Checks the arguments. The driver does not; from CUDA 12.4 on it reports the parameters of a kernel. */
static gh_status check_args(gh_error *err, const gh_cuda_driver *cu, const gh_launch *launch, const gh_arg *args,
                            int count) {
  size_t offset, bytes;
  CUfunction function = launch->of.kernel.function;
  if (count > GH_CUDA_MAX_ARGS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s: %d arguments, at most %d are supported", launch->name, count,
                   GH_CUDA_MAX_ARGS);
  if (!cu->cuFuncGetParamInfo) return GH_OK;
  int wanted = 0;
  while (wanted <= GH_CUDA_MAX_ARGS && !cu->cuFuncGetParamInfo(function, (size_t)wanted, &offset, &bytes)) wanted++;
  if (wanted != count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s takes %d arguments, but %d were given", launch->name, wanted,
                   count);
  for (int i = 0; i < count; i++)
    if (!cu->cuFuncGetParamInfo(function, (size_t)i, &offset, &bytes) && bytes != arg_bytes[args[i].kind])
      return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s, argument %d: %zu bytes are required, but %zu were given",
                     launch->name, i, bytes, arg_bytes[args[i].kind]);
  return GH_OK;
}

static void set_args(gh_cuda_kernel_launch *k, const gh_arg *args, int count) {
  for (int i = 0; i < count; i++) {
    const gh_arg *arg = &args[i];
    switch (arg->kind) {
    case GH_ARG_BUFFER:
      k->args[i].pointer = gh_cuda_at(arg->value.buffer);
      break;
    case GH_ARG_I32:
      k->args[i].i32 = arg->value.i32;
      break;
    case GH_ARG_I64:
      k->args[i].i64 = arg->value.i64;
      break;
    case GH_ARG_F32:
      k->args[i].f32 = arg->value.f32;
      break;
    }
    k->params[i] = &k->args[i];
  }
}

static gh_status set_grid(gh_error *err, const gh_device *d, const gh_grid *grid, gh_launch *launch) {
  gh_cuda_kernel_launch *k = &launch->of.kernel;
  const gh_cuda_device *device = gh_cuda(d);
  size_t items = 1;
  for (int i = 0; i < 3; i++) {
    if (!grid->groups[i] || !grid->local[i])
      return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s: an empty grid in dimension %d", launch->name, i);
    if (grid->groups[i] > (size_t)device->max_groups[i])
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "kernel %s: %zu work-groups in dimension %d, %s allows %d",
                     launch->name, grid->groups[i], i, device->id, device->max_groups[i]);
    k->groups[i] = (unsigned)grid->groups[i];
    k->local[i] = (unsigned)grid->local[i];
    items *= grid->local[i];
  }
  int most = 0; /* fewer than the device's where the kernel needs many registers */
  if (device->cu->cuFuncGetAttribute(&most, GH_CU_FUNCTION_MAX_THREADS, k->function) || most < 1)
    most = (int)d->info.max_group;
  if ((int64_t)items > GH_MIN(most, d->info.max_group))
    return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s: %zu work-items per group, %s allows %lld", launch->name, items,
                   device->id, (long long)GH_MIN(most, d->info.max_group));
  return GH_OK;
}

gh_status gh_cuda_bind_kernel(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid,
                              const gh_arg *args, int arg_count, gh_launch **out) {
  *out = NULL;
  gh_cuda_device *device = gh_cuda(d);
  void *module = NULL;
  gh_status status = gh_program_get(err, d, &device->programs, id, &module);
  if (!status) status = gh_cuda_enter(err, device);
  if (status) return status;
  gh_launch *launch = gh_cuda_launch_new(err, d, id->name);
  if (!launch) return GH_ERROR_MEMORY;
  launch->enqueue = enqueue_kernel;
  unsigned code = device->cu->cuModuleGetFunction(&launch->of.kernel.function, module, id->name);
  if (code)
    status = gh_cuda_fail(err, device->cu, code, "kernel %s%s%s", id->name, id->source ? " of " : "",
                          id->source ? id->source : "");
  if (!status) status = set_grid(err, d, grid, launch);
  if (!status) status = check_args(err, device->cu, launch, args, arg_count);
  if (status) {
    gh_cuda_launch_free(launch);
    return status;
  }
  set_args(&launch->of.kernel, args, arg_count);
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}

/* ---- fills and copies ---- */

static gh_status enqueue_fill(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  const gh_cuda_fill_launch *f = &launch->of.fill;
  unsigned code = device->cu->cuMemsetD32Async(f->to, f->word, f->words, device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "fill of %zu bytes", 4 * f->words) : GH_OK;
}

gh_status gh_cuda_bind_fill(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                            gh_launch **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_fill(err, to, offset, bytes);
  if (status) return status;
  gh_launch *launch = gh_cuda_launch_new(err, d, "fill");
  if (!launch) return GH_ERROR_MEMORY;
  launch->enqueue = enqueue_fill;
  launch->of.fill = (gh_cuda_fill_launch){gh_cuda_at(to) + (CUdeviceptr)offset, (size_t)bytes / 4, word};
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}

static gh_status enqueue_copy(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  const gh_cuda_copy_launch *c = &launch->of.copy;
  unsigned code = device->cu->cuMemcpyDtoDAsync_v2(c->to, c->from, c->bytes, device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "copy of %zu bytes", c->bytes) : GH_OK;
}

gh_status gh_cuda_bind_copy(gh_error *err, gh_device *d, gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                            int64_t from_offset, int64_t bytes, gh_launch **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_copy(err, to, to_offset, from, from_offset, bytes);
  if (status) return status;
  gh_launch *launch = gh_cuda_launch_new(err, d, "copy");
  if (!launch) return GH_ERROR_MEMORY;
  launch->enqueue = enqueue_copy;
  launch->of.copy = (gh_cuda_copy_launch){gh_cuda_at(to) + (CUdeviceptr)to_offset,
                                          gh_cuda_at(from) + (CUdeviceptr)from_offset, (size_t)bytes};
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}

/* ---- all launches ---- */

void gh_cuda_launch_free(gh_launch *launch) {
  if (!launch) return;
  gh_error ignored;
  if (launch->release && !gh_cuda_enter(&ignored, launch->device)) launch->release(launch);
  free(launch);
}

gh_status gh_cuda_enqueue(gh_error *err, gh_device *d, gh_launch *launch) {
  gh_status status = gh_cuda_enter(err, gh_cuda(d));
  if (status) return status;
  if (!gh_cuda(d)->capturing) d->counters.launches++;
  return launch->enqueue(err, gh_cuda(d), launch);
}

gh_status gh_cuda_finish(gh_error *err, gh_device *d) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_cuda_enter_uncaptured(err, device, "a wait");
  if (status) return status;
  d->counters.waits++;
  unsigned code = device->cu->cuStreamSynchronize(device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: waiting for the queue", device->id) : GH_OK;
}
