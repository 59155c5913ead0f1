/* Buffers, views of them, and transfers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/limits.h"
#include "backend/opencl/opencl.h"

gh_status gh_cl_check_range(gh_error *err, const char *what, const gh_buffer *buffer, int64_t offset, int64_t bytes) {
  return gh_limit_check_range(err, what, buffer ? buffer->bytes : -1, offset, bytes);
}

/* ---- buffers in huge pages ----
 *
 * A CPU's kernels work in the host's memory, and down the rows of a large matrix every step is another page of 4 KiB:
 * walking the page tables took 5 to 10 % of the large products' time (Xeon, virtual machine). So large buffers are
 * pages of ours, huge ones where the system has them. The driver must use such memory in place (quirks.c). */

#define HUGE_PAGE    (INT64_C(2) << 20)
#define WORTH_A_HUGE (4 * HUGE_PAGE)

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

/* The system gives addresses at multiples of its small pages: a huge page more than wanted, and what lies before a
 * multiple of huge ones and after the end is given back. What fills no huge page has small ones. */
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
  madvise(p->at, wanted / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
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
  gh_status status = gh_limit_check_size(err, &d->info, bytes);
  if (status) return status;
  gh_buffer *buffer = gh_alloc(err, 1, sizeof *buffer);
  if (!buffer) return GH_ERROR_MEMORY;
  cl_int code = CL_SUCCESS;
  if (d->info.is_cpu && gh_cl(d)->quirks.host_pages && bytes >= WORTH_A_HUGE)
    status = create_in_pages(err, d, bytes, &buffer->mem);
  else
    buffer->mem = clCreateBuffer(gh_cl(d)->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
  if (code != CL_SUCCESS)
    status = gh_cl_fail(err, code, "%s: a buffer of %.1f MiB", d->info.id, (double)bytes / 1048576);
  if (status) {
    free(buffer);
    return status;
  }
  d->counters.allocations++;
  buffer->root = buffer->mem;
  buffer->bytes = bytes;
  *out = buffer;
  return GH_OK;
}

gh_status gh_cl_buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                            gh_buffer **out) {
  *out = NULL;
  gh_status status = gh_cl_check_range(err, "view", parent, offset, bytes);
  if (status) return status;
  if (offset % d->info.alignment_bytes)
    return gh_fail(err, GH_ERROR_ARGUMENT, "view: offset %lld is no multiple of %lld", (long long)offset,
                   (long long)d->info.alignment_bytes);
  gh_buffer *view = gh_alloc(err, 1, sizeof *view);
  if (!view) return GH_ERROR_MEMORY;
  view->root = parent->root;
  view->offset = parent->offset + offset;
  view->bytes = bytes;
  cl_buffer_region region = {(size_t)view->offset, (size_t)bytes};
  cl_int code;
  view->mem = clCreateSubBuffer(view->root, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
  if (code != CL_SUCCESS) {
    free(view);
    return gh_cl_fail(err, code, "%s: a view of %lld bytes at %lld", d->info.id, (long long)bytes,
                      (long long)region.origin);
  }
  d->counters.allocations++;
  *out = view;
  return GH_OK;
}

void gh_cl_buffer_free(gh_buffer *buffer) {
  if (!buffer) return;
  clReleaseMemObject(buffer->mem);
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
  gh_cl_workspace_free(device); /* OpenCL keeps it for the commands under way */
  device->workspace = larger;
  device->workspace_bytes = bytes;
  d->counters.allocations++;
  return GH_OK;
}

int64_t gh_cl_buffer_bytes(const gh_buffer *buffer) { return buffer->bytes; }

gh_status gh_cl_write(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_status status = gh_cl_check_range(err, "write", to, offset, bytes);
  if (status) return status;
  d->counters.writes++;
  cl_int code =
      clEnqueueWriteBuffer(gh_cl(d)->queue, to->mem, CL_TRUE, (size_t)offset, (size_t)bytes, from, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: writing %lld bytes", d->info.id, (long long)bytes);
}

gh_status gh_cl_read(gh_error *err, gh_device *d, const gh_buffer *from, int64_t offset, void *to, int64_t bytes) {
  gh_status status = gh_cl_check_range(err, "read", from, offset, bytes);
  if (status) return status;
  d->counters.reads++;
  cl_int code =
      clEnqueueReadBuffer(gh_cl(d)->queue, from->mem, CL_TRUE, (size_t)offset, (size_t)bytes, to, 0, NULL, NULL);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: reading %lld bytes", d->info.id, (long long)bytes);
}

/* ---- sends: writes from staging memory of our own ---- */

static void staging_free(gh_cl_staging *s) {
  if (s->done) clReleaseEvent(s->done);
  free(s->memory);
  free(s);
}

void gh_cl_staging_free(gh_cl_device *device) {
  while (device->staging) {
    gh_cl_staging *next = device->staging->next;
    staging_free(device->staging);
    device->staging = next;
  }
}

/* Releases what has arrived. */
static gh_status retire(gh_error *err, gh_device *d, gh_cl_staging *s) {
  cl_int state = CL_COMPLETE;
  cl_int code = clGetEventInfo(s->done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
  if (code != CL_SUCCESS || state < 0)
    return gh_cl_fail(err, code != CL_SUCCESS ? code : state, "%s: sending %lld bytes", d->info.id,
                      (long long)s->bytes);
  if (state != CL_COMPLETE) return GH_OK;
  clReleaseEvent(s->done);
  s->done = NULL;
  return GH_OK;
}

static gh_status new_staging(gh_error *err, gh_device *d, int64_t bytes, gh_cl_staging **out) {
  gh_cl_staging *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  s->memory = gh_alloc(err, (size_t)bytes, 1);
  if (!s->memory) {
    free(s);
    return GH_ERROR_MEMORY;
  }
  d->counters.allocations++;
  s->bytes = bytes;
  s->next = gh_cl(d)->staging;
  *out = gh_cl(d)->staging = s;
  return GH_OK;
}

/* Free staging memory of that size; beyond GH_SENDS_BYTES the oldest send is waited for.
 */
static gh_status take_staging(gh_error *err, gh_device *d, int64_t bytes, gh_cl_staging **out) {
  gh_cl_staging *oldest = NULL;
  int64_t held = 0;
  *out = NULL;
  for (gh_cl_staging *s = gh_cl(d)->staging; s; s = s->next) {
    gh_status status = s->done ? retire(err, d, s) : GH_OK;
    if (status) return status;
    held += s->bytes;
    if (s->bytes != bytes) continue;
    if (!s->done) *out = s;
    if (s->done && (!oldest || s->order < oldest->order)) oldest = s;
  }
  if (*out) return GH_OK;
  if (!oldest || held + bytes <= GH_SENDS_BYTES) return new_staging(err, d, bytes, out);
  d->counters.waits++;
  cl_int code = clWaitForEvents(1, &oldest->done);
  if (code != CL_SUCCESS) return gh_cl_fail(err, code, "%s: waiting for a send", d->info.id);
  *out = oldest;
  return retire(err, d, oldest);
}

gh_status gh_cl_reserve_sends(gh_error *err, gh_device *d, int64_t bytes, int64_t count) {
  const int64_t size = gh_staging_bytes(bytes);
  int64_t held = 0;
  for (const gh_cl_staging *s = gh_cl(d)->staging; s; s = s->next) {
    held += s->bytes;
    if (s->bytes == size) count--;
  }
  gh_status status = GH_OK;
  for (gh_cl_staging *s; count > 0 && held + size <= GH_SENDS_BYTES && !status; count--, held += size)
    status = new_staging(err, d, size, &s);
  return status;
}

gh_status gh_cl_send(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, const void *from, int64_t bytes) {
  gh_status status = gh_cl_check_range(err, "send", to, offset, bytes);
  gh_cl_staging *s = NULL;
  if (!status) status = take_staging(err, d, gh_staging_bytes(bytes), &s);
  if (status) return status;
  memcpy(s->memory, from, (size_t)bytes);
  s->order = ++d->counters.sends;
  cl_int code = clEnqueueWriteBuffer(gh_cl(d)->queue, to->mem, CL_FALSE, (size_t)offset, (size_t)bytes, s->memory, 0,
                                     NULL, &s->done);
  if (code == CL_SUCCESS) code = clFlush(gh_cl(d)->queue);
  return code == CL_SUCCESS ? GH_OK : gh_cl_fail(err, code, "%s: sending %lld bytes", d->info.id, (long long)bytes);
}
