/* The driver's double: device memory is host memory between fences. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 512
#define PAGE      ((size_t)4096)
#define CANARY    ((char)0xa5)

/* Ends as close to an inaccessible page as its alignment allows; canaries fill the gaps. */
typedef struct allocation {
  struct allocation *next;
  char *map, *at;
  size_t mapped, bytes; /* mapped: without the fence */
  bool pinned;          /* in the host's memory; kernels use it by the same address */
  void *notes;          /* of double_find_device */
} allocation;

static allocation *allocations;
static size_t in_use; /* of the device's memory */

static allocation **find_allocation(const void *p) {
  allocation **link = &allocations;
  while (*link && ((char *)p < (*link)->at || (char *)p >= (*link)->at + (*link)->bytes)) link = &(*link)->next;
  return link;
}

bool gh_double_is_device(const void *p, size_t bytes) {
  const allocation *a = *find_allocation(p);
  return a && bytes <= (size_t)(a->at + a->bytes - (const char *)p);
}

static size_t notes_bytes(const allocation *a) { return (a->bytes / 2 + 1) * DOUBLE_NOTE_BYTES; }

bool double_find_device(const void *p, const char **begin, const char **end, void **notes) {
  allocation *a = *find_allocation(p);
  if (!a) return false;
  if (!a->notes) {
    a->notes = mmap(NULL, notes_bytes(a), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->notes == MAP_FAILED) {
      a->notes = NULL;
      return false;
    }
  }
  *begin = a->at;
  *end = a->at + a->bytes;
  *notes = a->notes;
  return true;
}

bool double_is_pinned(const void *p) {
  const allocation *a = *find_allocation(p);
  return a && a->pinned;
}

/* ---- device memory ---- */

static char *address(CUdeviceptr pointer) { return (char *)(size_t)pointer; }

static unsigned allocate(size_t bytes, bool pinned, char **memory) {
  allocation *a = calloc(1, sizeof *a);
  if (!a) return GH_CU_OUT_OF_MEMORY;
  a->bytes = bytes;
  a->mapped = (bytes + ALIGNMENT + PAGE - 1) / PAGE * PAGE;
  a->map = mmap(NULL, a->mapped + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (a->map == MAP_FAILED || mprotect(a->map + a->mapped, PAGE, PROT_NONE)) {
    free(a);
    return GH_CU_OUT_OF_MEMORY;
  }
  a->at = a->map + (a->mapped - bytes) / ALIGNMENT * ALIGNMENT;
  memset(a->map, CANARY, (size_t)(a->at - a->map));
  memset(a->at, 0xff, bytes); /* NaN: nothing may rely on zeros */
  memset(a->at + bytes, CANARY, (size_t)(a->map + a->mapped - a->at) - bytes);
  a->pinned = pinned;
  a->next = allocations;
  allocations = a;
  if (!pinned) in_use += bytes;
  *memory = a->at;
  return GH_CU_SUCCESS;
}

unsigned cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes) {
  char *at = NULL;
  ENTER_UNCAPTURED();
  *memory = 0;
  if (!bytes) return CODE_INVALID_VALUE;
  if (bytes > double_memory_bytes() - in_use) return GH_CU_OUT_OF_MEMORY;
  unsigned code = allocate(bytes, false, &at);
  *memory = (CUdeviceptr)(size_t)at;
  return code;
}

static bool is_whole(const allocation *a) {
  for (const char *p = a->map; p < a->at; p++)
    if (*p != CANARY) return false;
  for (const char *p = a->at + a->bytes; p < a->map + a->mapped; p++)
    if (*p != CANARY) return false;
  return true;
}

/* Like the real one, waits for all submitted work. */
static unsigned release(const char *memory, bool pinned) {
  allocation **link = find_allocation(memory), *a = *link;
  if (!a || a->at != memory || a->pinned != pinned) return CODE_INVALID_VALUE;
  unsigned code = double_drain_all();
  if (!is_whole(a)) {
    double_refuse(0, "something wrote outside an allocation of %zu bytes", a->bytes);
    abort();
  }
  *link = a->next;
  if (!pinned) in_use -= a->bytes;
  munmap(a->map, a->mapped + PAGE);
  if (a->notes) munmap(a->notes, notes_bytes(a));
  free(a);
  return code;
}

unsigned cuMemFree_v2(CUdeviceptr memory) {
  ENTER_UNCAPTURED();
  return memory ? release(address(memory), false) : GH_CU_SUCCESS;
}

unsigned cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
  ENTER_CONTEXT();
  *total = double_memory_bytes();
  *free_bytes = *total - in_use;
  return GH_CU_SUCCESS;
}

/* ---- pinned host memory ---- */

unsigned cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
  char *at = NULL;
  ENTER_UNCAPTURED();
  if (flags || !bytes) return CODE_INVALID_VALUE;
  unsigned code = allocate(bytes, true, &at);
  *memory = at;
  return code;
}

unsigned cuMemFreeHost(void *memory) {
  ENTER_UNCAPTURED();
  return release(memory, true);
}

/* ---- copies and fills ---- */

typedef struct copy_work {
  char *to;
  const char *from; /* NULL: the bytes follow this struct */
  size_t bytes;
  bool to_device, from_device;
} copy_work;

static unsigned run_copy(const void *data) {
  const copy_work *c = data;
  const char *from = c->from ? c->from : (const char *)data + sizeof *c;
  if (c->to_device && !gh_double_is_device(c->to, c->bytes))
    return double_refuse(CODE_ILLEGAL_ADDRESS, "a copy of %zu bytes to %p, not device memory", c->bytes, (void *)c->to);
  if (c->from_device && !gh_double_is_device(from, c->bytes))
    return double_refuse(CODE_ILLEGAL_ADDRESS, "a copy of %zu bytes from %p, not device memory", c->bytes,
                         (const void *)from);
  memmove(c->to, from, c->bytes);
  return GH_CU_SUCCESS;
}

/* Bytes of unpinned memory are read at once, like the real driver's staging. */
static unsigned put_copy_of_bytes(CUstream stream, const copy_work *c) {
  char *whole = malloc(sizeof *c + c->bytes);
  if (!whole) return GH_CU_OUT_OF_MEMORY;
  copy_work own = *c;
  own.from = NULL;
  memcpy(whole, &own, sizeof own);
  memcpy(whole + sizeof own, c->from, c->bytes);
  unsigned code = double_put(stream, run_copy, whole, sizeof own + c->bytes);
  free(whole);
  return code;
}

unsigned cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  ENTER_CONTEXT();
  const copy_work c = {.to = address(to), .from = from, .bytes = bytes, .to_device = true};
  if (double_is_pinned(from)) return double_put(stream, run_copy, &c, sizeof c);
  if (double_is_capturing(stream) && double_breaks_capture()) return CODE_CAPTURE_UNSUPPORTED;
  return put_copy_of_bytes(stream, &c);
}

/* The real driver completes copies to unpinned memory before it returns. */
unsigned cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER_CONTEXT();
  const copy_work c = {.to = to, .from = address(from), .bytes = bytes, .from_device = true};
  if (double_is_capturing(stream) && !double_is_pinned(to) && double_breaks_capture()) return CODE_CAPTURE_UNSUPPORTED;
  unsigned code = double_put(stream, run_copy, &c, sizeof c);
  if (code || double_is_pinned(to)) return code;
  return double_drain(stream);
}

unsigned cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER_CONTEXT();
  const copy_work c = {address(to), address(from), bytes, true, true};
  if (to < from + bytes && from < to + bytes) return double_refuse(CODE_INVALID_VALUE, "a copy onto part of itself");
  return double_put(stream, run_copy, &c, sizeof c);
}

typedef struct set_work {
  char *to;
  size_t words;
  uint32_t word;
} set_work;

static unsigned run_set(const void *data) {
  const set_work *s = data;
  if (!gh_double_is_device(s->to, 4 * s->words))
    return double_refuse(CODE_ILLEGAL_ADDRESS, "a fill of %zu words at %p, not device memory", s->words, (void *)s->to);
  for (size_t i = 0; i < s->words; i++) memcpy(s->to + 4 * i, &s->word, 4);
  return GH_CU_SUCCESS;
}

unsigned cuMemsetD32Async(CUdeviceptr to, unsigned word, size_t words, CUstream stream) {
  ENTER_CONTEXT();
  if (to % 4) return CODE_INVALID_VALUE;
  const set_work s = {address(to), words, word};
  return double_put(stream, run_set, &s, sizeof s);
}
