/* Buffers, views of them, and transfers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/opencl/opencl.h"

/* ---- buffers in huge pages ----
 *
 * A CPU's kernels work in host memory. Down the rows of a large matrix, every element is in another page of 4 KiB, and
 * page table walks took 5 to 10 % of the time of large products (Xeon, virtual machine). So large buffers are mapped
 * here, with huge pages where the system has them. The driver must use such memory in place (quirks.c). */

#define HUGE_PAGE  (INT64_C(2) << 20)
#define WORTH_HUGE (4 * HUGE_PAGE)

typedef struct pages {
  void *at;
  size_t bytes;
} pages;

static void pages_free(pages *p) {
  if (p) munmap(p->at, p->bytes);
  free(p);
}

static void CL_CALLBACK on_release(cl_mem mem, void *user) {
  (void)mem;
  pages_free(user);
}

/* The system aligns addresses only to small pages. So one huge page more than needed is mapped, and the parts before
 * the first huge-page boundary and after the end are unmapped. A remainder smaller than a huge page has small
 * pages. */
static pages *pages_create(gh_error *err, int64_t bytes) {
  const size_t small = (size_t)sysconf(_SC_PAGESIZE), wanted = ((size_t)bytes + small - 1) / small * small;
  pages *p = gh_alloc(err, 1, sizeof *p);
  if (!p) return NULL;
  char *at = mmap(NULL, wanted + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    gh_fail(err, GH_ERROR_MEMORY, "%.1f MiB of memory: %s", (double)bytes / 1048576, strerror(errno));
    free(p);
    return NULL;
  }
  const size_t before = (size_t)(-(uintptr_t)at % HUGE_PAGE);
  if (before) munmap(at, before);
  munmap(at + before + wanted, (size_t)HUGE_PAGE - before);
  *p = (pages){at + before, wanted};
  madvise(p->at, wanted / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a hint */
  return p;
}

static gh_status create_in_pages(gh_error *err, gh_device *d, int64_t bytes, cl_mem *mem) {
  pages *p = pages_create(err, bytes);
  if (!p) return GH_ERROR_MEMORY;
  cl_int code;
  *mem = clCreateBuffer(gh_cl(d)->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, (size_t)bytes, p->at, &code);
  if (code == CL_SUCCESS) {
    code = clSetMemObjectDestructorCallback(*mem, on_release, p);
    if (code == CL_SUCCESS) return GH_OK;
    clReleaseMemObject(*mem);
  }
  pages_free(p);
  return gh_cl_fail(err, code, "%s: a buffer of %.1f MiB", d->info.id, (double)bytes / 1048576);
}

gh_status gh_cl_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  *out = NULL;
  gh_status status = gh_buffer_check_room(err, d, bytes);
  if (status) return status;
  gh_cl_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  cl_int code = CL_SUCCESS;
  if (d->info.is_cpu && gh_cl(d)->quirks.host_pages && bytes >= WORTH_HUGE)
    status = create_in_pages(err, d, bytes, &buffer->mem);
  else
    buffer->mem = clCreateBuffer(gh_cl(d)->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
  if (code != CL_SUCCESS)
    status = gh_cl_fail(err, code, "%s: a buffer of %.1f MiB", d->info.id, (double)bytes / 1048576);
  if (status) {
    free(buffer);
    return status;
  }
  gh_buffer_hold(&buffer->base, d, bytes);
  *out = &buffer->base;
  return GH_OK;
}

/* A driver places such a buffer in memory that the device reaches. */
gh_status gh_cl_host_buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  *out = NULL;
  gh_status status = d->info.is_cpu ? gh_buffer_check_room(err, d, bytes) : gh_buffer_check_size(err, &d->info, bytes);
  if (status) return status;
  gh_cl_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  cl_int code;
  buffer->mem =
      clCreateBuffer(gh_cl(d)->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, (size_t)bytes, NULL, &code);
  if (code != CL_SUCCESS) {
    free(buffer);
    return gh_cl_fail(err, code, "%s: a buffer of %.1f MiB in the host's memory", d->info.id, (double)bytes / 1048576);
  }
  (d->info.is_cpu ? gh_buffer_hold : gh_buffer_hold_on_host)(&buffer->base, d, bytes);
  *out = &buffer->base;
  return GH_OK;
}

gh_status gh_cl_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                            gh_buffer **out) {
  *out = NULL;
  gh_buffer place;
  gh_status status = gh_buffer_check_view(err, d, parent, offset, bytes, &place);
  if (status) return status;
  gh_cl_buffer *view = gh_alloc(err, 1, sizeof *view);
  if (!view) return GH_ERROR_MEMORY;
  view->base = place;
  cl_buffer_region region = {(size_t)place.offset, (size_t)bytes};
  cl_int code;
  view->mem = clCreateSubBuffer(gh_cl_mem(place.root), CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
  if (code != CL_SUCCESS) {
    free(view);
    return gh_cl_fail(err, code, "%s: a view of %lld bytes at %lld", d->info.id, (long long)bytes,
                      (long long)region.origin);
  }
  d->counters.allocations++;
  *out = &view->base;
  return GH_OK;
}

void gh_cl_buffer_free(gh_buffer *buffer) {
  if (!buffer) return;
  clReleaseMemObject(gh_cl_mem(buffer));
  gh_buffer_release(buffer);
  free(buffer);
}

void gh_cl_workspace_free(gh_cl_device *device) {
  if (device->workspace) clReleaseMemObject(device->workspace);
  device->workspace = NULL;
}

gh_status gh_cl_reserve_workspace(gh_error *err, gh_device *d, size_t bytes, const char *whose) {
  gh_cl_device *device = gh_cl(d);
  if (bytes <= device->workspace_bytes) return GH_OK;
  cl_int code;
  cl_mem larger = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
  if (code != CL_SUCCESS) return gh_cl_fail(err, code, "%s's workspace of %zu bytes", whose, bytes);
  gh_cl_workspace_free(device); /* OpenCL keeps it for commands in flight */
  device->workspace = larger;
  device->workspace_bytes = bytes;
  d->counters.allocations++;
  return GH_OK;
}

gh_status gh_cl_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_status status = gh_buffer_check_range(err, "write", to, offset, bytes);
  if (status) return status;
  d->counters.writes++;
  cl_int code =
      clEnqueueWriteBuffer(gh_cl(d)->queue, gh_cl_mem(to), CL_TRUE, (size_t)offset, (size_t)bytes, from, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: writing %lld bytes", d->info.id, (long long)bytes);
}

gh_status gh_cl_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes) {
  gh_status status = gh_buffer_check_range(err, "read", from, offset, bytes);
  if (status) return status;
  d->counters.reads++;
  cl_int code =
      clEnqueueReadBuffer(gh_cl(d)->queue, gh_cl_mem(from), CL_TRUE, (size_t)offset, (size_t)bytes, to, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: reading %lld bytes", d->info.id, (long long)bytes);
}

/* ---- sends: copies from host memory ---- */

typedef struct staging {
  gh_staging base;
  cl_event done; /* NULL: free */
} staging;

static void staging_free(gh_device *d, gh_staging *piece) {
  (void)d;
  staging *s = (staging *)piece;
  if (s->done) clReleaseEvent(s->done);
  free(piece->memory);
  free(s);
}

static gh_status staging_create(gh_error *err, gh_device *d, int64_t bytes, gh_staging **out) {
  (void)d;
  staging *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  s->base.memory = gh_alloc(err, (size_t)bytes, 1);
  if (!s->base.memory) {
    free(s);
    return GH_ERROR_MEMORY;
  }
  *out = &s->base;
  return GH_OK;
}

static gh_status staging_poll(gh_error *err, gh_device *d, gh_staging *piece) {
  staging *s = (staging *)piece;
  cl_int state = CL_COMPLETE;
  cl_int code = clGetEventInfo(s->done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
  if (code != CL_SUCCESS || state < 0)
    return gh_cl_fail(err, code != CL_SUCCESS ? code : state, "%s: sending %lld bytes", d->info.id,
                      (long long)piece->bytes);
  if (state != CL_COMPLETE) return GH_OK;
  clReleaseEvent(s->done);
  s->done = NULL;
  piece->busy = false;
  return GH_OK;
}

static gh_status staging_wait(gh_error *err, gh_device *d, gh_staging *piece) {
  cl_int code = clWaitForEvents(1, &((staging *)piece)->done);
  return code == CL_SUCCESS ? staging_poll(err, d, piece) : gh_cl_fail(err, code, "%s: waiting for a send", d->info.id);
}

static gh_status staging_enqueue(gh_error *err, gh_device *d, gh_staging *piece, gh_buffer *to, int64_t offset,
                                 int64_t bytes) {
  staging *s = (staging *)piece;
  cl_int code = clEnqueueWriteBuffer(gh_cl(d)->queue, gh_cl_mem(to), CL_FALSE, (size_t)offset, (size_t)bytes,
                                     piece->memory, 0, NULL, &s->done);
  piece->busy = code == CL_SUCCESS;
  if (code == CL_SUCCESS) code = clFlush(gh_cl(d)->queue);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: sending %lld bytes", d->info.id, (long long)bytes);
}

const gh_staging_kind gh_cl_staging_kind = {.create = staging_create,
                                            .free = staging_free,
                                            .poll = staging_poll,
                                            .wait = staging_wait,
                                            .enqueue = staging_enqueue};

gh_status gh_cl_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count) {
  return gh_staging_reserve(err, d, &gh_cl(d)->staging, bytes, count);
}

gh_status gh_cl_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  return gh_staging_send(err, d, &gh_cl(d)->staging, to, offset, from, bytes);
}
