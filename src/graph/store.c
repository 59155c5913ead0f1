/* Persistent tensors. Small ones share arenas, so that a model of a thousand tensors does not need a thousand
 * allocations; a large one has its own buffer. */
#include "graph/internal.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (INT64_C(8) << 20)
#define SMALL_BYTES (INT64_C(1) << 20)

struct gh_store {
  gh_device *device;
  bool unbacked;
  const gh_strings *left_out; /* NULL: none */
  gh_list tensors;
  struct hsearch_data *index;
  gh_list arenas, views;
  gh_buffer *open; /* the arena for small tensors, if has_open; NULL in an unbacked store */
  bool has_open;
  int64_t open_used;
  int64_t bytes, host_bytes; /* in the device's memory, and beside it in the host's */
};

#define INDEX_CAPACITY 65536

gh_status gh_store_create(gh_error *err, gh_device *device, gh_store **out) {
  gh_store *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  s->device = device;
  s->index = gh_alloc(err, 1, sizeof *s->index);
  if (!s->index || !hcreate_r(INDEX_CAPACITY, s->index)) {
    free(s->index);
    s->index = NULL;
    gh_store_free(s);
    return gh_fail(err, GH_ERROR_MEMORY, "out of memory for the tensor index");
  }
  *out = s;
  return GH_OK;
}

gh_status gh_store_create_unbacked(gh_error *err, gh_device *device, gh_store **out) {
  gh_status status = gh_store_create(err, device, out);
  if (!status) (*out)->unbacked = true;
  return status;
}

void gh_store_leave_out(gh_store *s, const gh_strings *names) { s->left_out = names; }

static int by_name(const void *key, const void *item) { return strcmp(key, *(char *const *)item); }

static bool is_left_out(const gh_store *s, const char *name) {
  const gh_strings *names = s->left_out;
  return names && names->count && bsearch(name, names->items, names->count, sizeof *names->items, by_name);
}

void gh_store_free(gh_store *s) {
  if (!s) return;
  const gh_backend *b = s->device->backend;
  for (int i = 0; i < s->views.count; i++) b->buffer_free(s->views.items[i]);
  for (int i = 0; i < s->arenas.count; i++) b->buffer_free(s->arenas.items[i]);
  for (int i = 0; i < s->tensors.count; i++) gh_tensor_free(s->tensors.items[i]);
  if (s->index) {
    hdestroy_r(s->index);
    free(s->index);
  }
  free(s->tensors.items);
  free(s->arenas.items);
  free(s->views.items);
  free(s);
}

static gh_status zeroed_buffer(gh_error *err, gh_store *s, int64_t bytes, bool on_host, gh_buffer **out) {
  const gh_backend *b = s->device->backend;
  gh_buffer *buffer = NULL;
  gh_launch *fill = NULL;
  gh_status status = (on_host ? b->host_buffer_create : b->buffer_create)(err, s->device, bytes, &buffer);
  if (status) return status;
  status = gh_list_push(err, &s->arenas, buffer);
  if (status) {
    b->buffer_free(buffer);
    return status;
  }
  status = b->bind_fill(err, s->device, buffer, 0, bytes, 0, &fill);
  if (!status) status = b->enqueue(err, s->device, fill);
  if (!status) status = b->finish(err, s->device);
  if (fill) b->launch_free(fill);
  *out = buffer;
  return status;
}

static gh_status view_of(gh_error *err, gh_store *s, gh_buffer *parent, int64_t at, int64_t bytes, gh_buffer **out) {
  gh_status status = s->device->backend->buffer_view(err, s->device, parent, at, bytes, out);
  if (status) return status;
  status = gh_list_push(err, &s->views, *out);
  if (!status) return GH_OK;
  s->device->backend->buffer_free(*out);
  *out = NULL;
  return status;
}

/* An unbacked store only counts its arenas. */
static gh_status place_small(gh_error *err, gh_store *s, int64_t bytes, gh_buffer **out) {
  const gh_device_info *info = &s->device->info;
  int64_t capacity = GH_MIN(ARENA_BYTES, info->max_buffer_bytes);
  gh_status status = GH_OK;
  if (!s->has_open || s->open_used + bytes > capacity) {
    s->has_open = false;
    if (!s->unbacked) status = zeroed_buffer(err, s, capacity, false, &s->open);
    if (status) return status;
    s->has_open = true;
    s->open_used = 0;
    s->bytes += capacity;
  }
  if (!s->unbacked) status = view_of(err, s, s->open, s->open_used, bytes, out);
  if (status) return status;
  s->open_used += GH_CEIL_DIV(bytes, info->alignment_bytes) * info->alignment_bytes;
  return GH_OK;
}

gh_status gh_store_lodge(gh_error *err, gh_store *s, gh_tensor *t, const gh_tensor *inside, int64_t at) {
  if (s->unbacked) return GH_OK;
  gh_status status = view_of(err, s, inside->buffer, at, gh_tensor_bytes(t), &t->buffer);
  t->unbacked = status != GH_OK;
  return status;
}

static gh_status place_large(gh_error *err, gh_store *s, int64_t bytes, bool on_host, gh_buffer **out) {
  *(on_host && !s->device->info.shares_host ? &s->host_bytes : &s->bytes) += bytes;
  return s->unbacked ? GH_OK : zeroed_buffer(err, s, bytes, on_host, out);
}

static gh_status add(gh_error *err, gh_store *s, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                     bool on_host, gh_tensor **out) {
  if (gh_store_find(s, name)) return gh_fail(err, GH_ERROR_ARGUMENT, "tensor %s already exists", name);
  gh_tensor *t = gh_tensor_create(err, name, GH_PERSISTENT, dtype, rank, shape);
  if (!t) return err ? err->status : GH_ERROR_MEMORY;
  gh_status status = gh_list_push(err, &s->tensors, t);
  if (status) {
    gh_tensor_free(t);
    return status;
  }
  int64_t bytes = GH_CEIL_DIV(gh_tensor_bytes(t), 4) * 4; /* memory is cleared in words */
  if (bytes > s->device->info.max_buffer_bytes)
    return gh_fail(err, GH_ERROR_MEMORY, "%s needs %lld MiB in one piece; %s allocates at most %lld MiB", name,
                   (long long)(bytes >> 20), s->device->info.id, (long long)(s->device->info.max_buffer_bytes >> 20));
  const bool left_out = is_left_out(s, name);
  t->unbacked = s->unbacked || left_out;
  if (!left_out && bytes <= SMALL_BYTES) status = place_small(err, s, bytes, &t->buffer);
  if (!left_out && bytes > SMALL_BYTES) status = place_large(err, s, bytes, on_host, &t->buffer);
  if (status) return gh_fail_in(err, "%s", name);
  ENTRY *found = NULL;
  if (!hsearch_r((ENTRY){.key = t->name, .data = t}, ENTER, &found, s->index))
    return gh_fail(err, GH_ERROR_MEMORY, "more than %d tensors in one model", INDEX_CAPACITY);
  *out = t;
  return GH_OK;
}

gh_status gh_store_add(gh_error *err, gh_store *s, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                       gh_tensor **out) {
  return add(err, s, name, dtype, rank, shape, false, out);
}

gh_status gh_store_add_on_host(gh_error *err, gh_store *s, const char *name, gh_dtype dtype, int rank,
                               const int64_t *shape, gh_tensor **out) {
  return add(err, s, name, dtype, rank, shape, true, out);
}

/* Adds a tensor of p's shape and part, named p's name after a prefix. */
static gh_status add_beside(gh_error *err, gh_store *s, const char *prefix, gh_role role, gh_dtype dtype,
                            const gh_tensor *p, gh_tensor **out) {
  size_t size = strlen(prefix) + strlen(p->name) + 1;
  char *name = gh_alloc(err, size, 1);
  if (!name) return GH_ERROR_MEMORY;
  snprintf(name, size, "%s%s", prefix, p->name);
  gh_status status = gh_store_add(err, s, name, dtype, p->rank, p->shape, out);
  free(name);
  if (status) return status;
  (*out)->role = role;
  (*out)->part = p->part;
  return GH_OK;
}

gh_status gh_store_make_trainable(gh_error *err, gh_store *s, gh_tensor *p) {
  return gh_store_make_trainable_as(err, s, p, GH_F32);
}

gh_status gh_store_make_trainable_as(gh_error *err, gh_store *s, gh_tensor *p, gh_dtype gradient) {
  if (p->trainable) return GH_OK;
  gh_status status = add_beside(err, s, "grad.", GH_ROLE_GRADIENT, gradient, p, &p->grad);
  if (!status) p->trainable = p->needs_grad = true;
  return status;
}

gh_status gh_store_make_working(gh_error *err, gh_store *s, gh_tensor *p, gh_dtype dtype) {
  char prefix[16];
  snprintf(prefix, sizeof prefix, "%s.", gh_dtype_name(dtype));
  return p->working ? GH_OK : add_beside(err, s, prefix, GH_ROLE_WORKING, dtype, p, &p->working);
}

gh_tensor *gh_store_find(const gh_store *s, const char *name) {
  ENTRY *found = NULL;
  return hsearch_r((ENTRY){.key = (char *)name}, FIND, &found, s->index) ? found->data : NULL;
}

int gh_store_count(const gh_store *s) { return s->tensors.count; }
gh_tensor *gh_store_at(const gh_store *s, int index) { return s->tensors.items[index]; }
int64_t gh_store_bytes(const gh_store *s) { return s->bytes; }
int64_t gh_store_host_bytes(const gh_store *s) { return s->host_bytes; }
