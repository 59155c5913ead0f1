#include "backend/core/staging.h"

#include <string.h>

#include "backend/core/buffer.h"

int64_t gh_staging_bytes(int64_t bytes) {
  int64_t size = 64;
  while (size < bytes) size *= 2;
  return size;
}

static gh_status enter(gh_error *err, gh_device *d, const gh_staging_pool *pool, const char *what) {
  return pool->kind->enter ? pool->kind->enter(err, d, what) : GH_OK;
}

static gh_status new_piece(gh_error *err, gh_device *d, gh_staging_pool *pool, int64_t bytes, gh_staging **out) {
  gh_status status = pool->kind->create(err, d, bytes, out);
  if (status) return status;
  d->counters.allocations++;
  (*out)->bytes = bytes;
  (*out)->next = pool->first;
  pool->first = *out;
  return GH_OK;
}

/* Finds or allocates a free staging buffer of that size; beyond GH_SENDS_BYTES waits for the oldest send. */
static gh_status take_piece(gh_error *err, gh_device *d, gh_staging_pool *pool, int64_t bytes, gh_staging **out) {
  gh_staging *oldest = NULL;
  int64_t held = 0;
  *out = NULL;
  for (gh_staging *s = pool->first; s; s = s->next) {
    gh_status status = s->busy ? pool->kind->poll(err, d, s) : GH_OK;
    if (status) return status;
    held += s->bytes;
    if (s->bytes != bytes) continue;
    if (!s->busy) *out = s;
    if (s->busy && (!oldest || s->order < oldest->order)) oldest = s;
  }
  if (*out) return GH_OK;
  if (!oldest || held + bytes <= GH_SENDS_BYTES) return new_piece(err, d, pool, bytes, out);
  d->counters.waits++;
  *out = oldest;
  return pool->kind->wait(err, d, oldest);
}

gh_status gh_staging_reserve(gh_error *err, gh_device *d, gh_staging_pool *pool, int64_t bytes, int64_t count) {
  const int64_t size = gh_staging_bytes(bytes);
  int64_t held = 0;
  gh_status status = enter(err, d, pool, "a staging buffer is allocated");
  for (const gh_staging *s = pool->first; s; s = s->next) {
    held += s->bytes;
    if (s->bytes == size) count--;
  }
  for (gh_staging *s; count > 0 && held + size <= GH_SENDS_BYTES && !status; count--, held += size)
    status = new_piece(err, d, pool, size, &s);
  return status;
}

gh_status gh_staging_send(gh_error *err, gh_device *d, gh_staging_pool *pool, gh_buffer *to, int64_t offset,
                          const void *from, int64_t bytes) {
  gh_staging *s = NULL;
  gh_status status = gh_buffer_check_range(err, "send", to, offset, bytes);
  if (!status) status = enter(err, d, pool, "a send");
  if (!status) status = take_piece(err, d, pool, gh_staging_bytes(bytes), &s);
  if (status) return status;
  memcpy(s->memory, from, (size_t)bytes);
  s->order = ++d->counters.sends;
  s->busy = true;
  return pool->kind->enqueue(err, d, s, to, offset, bytes);
}

void gh_staging_free(gh_device *d, gh_staging_pool *pool) {
  while (pool->first) {
    gh_staging *next = pool->first->next;
    pool->kind->free(d, pool->first);
    pool->first = next;
  }
}
