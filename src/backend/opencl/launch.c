/* Bound commands: a kernel with its arguments and grid, a fill, a copy. Bound once, enqueued many times. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/opencl/opencl.h"

/* ---- kernels ---- */

static void release_kernel(gh_launch *launch) {
  if (launch->of.kernel.kernel) clReleaseKernel(launch->of.kernel.kernel);
}

static gh_status enqueue_kernel(gh_error *err, gh_cl_device *device, gh_launch *launch) {
  const gh_cl_kernel_launch *k = &launch->of.kernel;
  cl_int code = clEnqueueNDRangeKernel(device->queue, k->kernel, 3, NULL, k->global, k->local, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "kernel %s", launch->name);
}

static gh_status set_args(gh_error *err, const char *name, cl_kernel kernel, const gh_arg *args, int count) {
  cl_uint wanted = 0;
  clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof wanted, &wanted, NULL);
  if ((int)wanted != count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s takes %u arguments, but %d were given", name, (unsigned)wanted,
                   count);
  for (int i = 0; i < count; i++) {
    cl_int code = CL_INVALID_ARG_VALUE;
    const gh_arg *arg = &args[i];
    cl_mem mem = arg->kind == GH_ARG_BUFFER ? gh_cl_mem(arg->value.buffer) : NULL;
    switch (arg->kind) {
    case GH_ARG_BUFFER:
      code = clSetKernelArg(kernel, (cl_uint)i, sizeof mem, mem ? &mem : NULL);
      break;
    case GH_ARG_I32:
      code = clSetKernelArg(kernel, (cl_uint)i, sizeof arg->value.i32, &arg->value.i32);
      break;
    case GH_ARG_I64:
      code = clSetKernelArg(kernel, (cl_uint)i, sizeof arg->value.i64, &arg->value.i64);
      break;
    case GH_ARG_F32:
      code = clSetKernelArg(kernel, (cl_uint)i, sizeof arg->value.f32, &arg->value.f32);
      break;
    }
    if (code != CL_SUCCESS) return gh_cl_fail(err, code, "kernel %s, argument %d", name, i);
  }
  return GH_OK;
}

static gh_status set_grid(gh_error *err, const gh_device *d, const gh_grid *grid, gh_launch *launch) {
  gh_cl_kernel_launch *k = &launch->of.kernel;
  size_t items = 1;
  for (int i = 0; i < 3; i++) {
    k->local[i] = grid->local[i];
    k->global[i] = grid->groups[i] * grid->local[i];
    items *= grid->local[i];
    if (!k->global[i])
      return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s: an empty grid in dimension %d", launch->name, i);
  }
  if ((int64_t)items > d->info.max_group)
    return gh_fail(err, GH_ERROR_ARGUMENT, "kernel %s: %zu work-items per group, %s allows %lld", launch->name, items,
                   d->info.id, (long long)d->info.max_group);
  return GH_OK;
}

/* Checks the needs of the compiled kernel here, at binding, so that a kernel that exceeds the device fails early, not
 * at launch. */
static gh_status check_kernel(gh_error *err, const gh_device *d, const gh_launch *launch) {
  const gh_cl_kernel_launch *k = &launch->of.kernel;
  size_t most = 0, items = k->local[0] * k->local[1] * k->local[2];
  cl_ulong local = 0;
  cl_device_id id = gh_cl(d)->id;
  if (gh_cl(d)->quirks.no_needs) return GH_OK;
  if (clGetKernelWorkGroupInfo(k->kernel, id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL) == CL_SUCCESS &&
      items > most)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "kernel %s: %zu work-items per group, but %s allows it %zu", launch->name,
                   items, d->info.id, most);
  if (clGetKernelWorkGroupInfo(k->kernel, id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL) == CL_SUCCESS &&
      (int64_t)local > d->info.local_bytes)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "kernel %s: %llu bytes of local memory, but %s has %lld", launch->name,
                   (unsigned long long)local, d->info.id, (long long)d->info.local_bytes);
  return GH_OK;
}

gh_status gh_cl_bind_kernel(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid,
                            const gh_arg *args, int arg_count, gh_launch **out) {
  *out = NULL;
  void *program = NULL;
  gh_status status = gh_program_get(err, d, &gh_cl(d)->programs, id, &program);
  if (status) return status;
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return GH_ERROR_MEMORY;
  snprintf(launch->name, sizeof launch->name, "%s", id->name);
  launch->enqueue = enqueue_kernel;
  launch->release = release_kernel;
  cl_int code;
  launch->of.kernel.kernel = clCreateKernel(program, id->name, &code);
  if (code != CL_SUCCESS) {
    status = gh_cl_fail(err, code, "kernel %s%s%s", id->name, id->source ? " of " : "", id->source ? id->source : "");
    launch->of.kernel.kernel = NULL;
    goto fail;
  }
  if ((status = set_grid(err, d, grid, launch))) goto fail;
  if ((status = check_kernel(err, d, launch))) goto fail;
  if ((status = set_args(err, launch->name, launch->of.kernel.kernel, args, arg_count))) goto fail;
  d->counters.binds++;
  *out = launch;
  return GH_OK;
fail:
  gh_cl_launch_free(launch);
  return status;
}

/* ---- fills and copies ---- */

static gh_status enqueue_fill(gh_error *err, gh_cl_device *device, gh_launch *launch) {
  const gh_cl_fill_launch *f = &launch->of.fill;
  cl_int code = clEnqueueFillBuffer(device->queue, f->to, &f->word, sizeof f->word, f->offset, f->bytes, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "fill of %zu bytes", f->bytes);
}

gh_status gh_cl_bind_fill(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                          gh_launch **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_fill(err, to, offset, bytes);
  if (status) return status;
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return GH_ERROR_MEMORY;
  snprintf(launch->name, sizeof launch->name, "fill");
  launch->enqueue = enqueue_fill;
  d->counters.binds++;
  launch->of.fill = (gh_cl_fill_launch){gh_cl_mem(to), (size_t)offset, (size_t)bytes, word};
  *out = launch;
  return GH_OK;
}

static gh_status enqueue_copy(gh_error *err, gh_cl_device *device, gh_launch *launch) {
  const gh_cl_copy_launch *c = &launch->of.copy;
  cl_int code =
      clEnqueueCopyBuffer(device->queue, c->from, c->to, c->from_offset, c->to_offset, c->bytes, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "copy of %zu bytes", c->bytes);
}

gh_status gh_cl_bind_copy(gh_error *err, gh_device *d, gh_buffer *to, int64_t to_offset, const gh_buffer *from,
                          int64_t from_offset, int64_t bytes, gh_launch **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_copy(err, to, to_offset, from, from_offset, bytes);
  if (status) return status;
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return GH_ERROR_MEMORY;
  snprintf(launch->name, sizeof launch->name, "copy");
  launch->enqueue = enqueue_copy;
  d->counters.binds++;
  launch->of.copy =
      (gh_cl_copy_launch){gh_cl_mem(to), gh_cl_mem(from), (size_t)to_offset, (size_t)from_offset, (size_t)bytes};
  *out = launch;
  return GH_OK;
}

/* ---- all launches ---- */

void gh_cl_launch_free(gh_launch *launch) {
  if (!launch) return;
  if (launch->release) launch->release(launch);
  free(launch);
}

gh_status gh_cl_enqueue(gh_error *err, gh_device *d, gh_launch *launch) {
  d->counters.launches++;
  return launch->enqueue(err, gh_cl(d), launch);
}

gh_status gh_cl_finish(gh_error *err, gh_device *d) {
  d->counters.waits++;
  cl_int code = clFinish(gh_cl(d)->queue);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: waiting for the queue", d->info.id);
}
