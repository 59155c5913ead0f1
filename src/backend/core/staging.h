/* Sends: writes that do not wait for the queue, from our own staging buffers. This file decides which staging buffer is
 * used, when a new one is allocated and when to wait for the device; a backend allocates them and enqueues copies from
 * them. */
#ifndef GH_BACKEND_CORE_STAGING_H
#define GH_BACKEND_CORE_STAGING_H

#include "backend/backend.h"

/* A staging buffer. A backend's own struct begins with it. */
typedef struct gh_staging {
  struct gh_staging *next;
  void *memory;
  int64_t bytes;
  bool busy;     /* a send from it is in flight */
  int64_t order; /* the number of that send */
} gh_staging;

typedef struct gh_staging_kind {
  /* Optional: prepares the device for the calls below, or rejects the operation `what`. */
  gh_status (*enter)(gh_error *err, gh_device *d, const char *what);
  gh_status (*create)(gh_error *err, gh_device *d, int64_t bytes, gh_staging **out); /* sets memory */
  void (*free)(gh_device *d, gh_staging *piece);
  /* Clears busy if the send from the staging buffer has finished. The error is that of the send itself. */
  gh_status (*poll)(gh_error *err, gh_device *d, gh_staging *piece);
  gh_status (*wait)(gh_error *err, gh_device *d, gh_staging *piece); /* until that send has finished */
  gh_status (*enqueue)(gh_error *err, gh_device *d, gh_staging *piece, gh_buffer *to, int64_t offset, int64_t bytes);
} gh_staging_kind;

typedef struct gh_staging_pool {
  const gh_staging_kind *kind;
  gh_staging *first;
} gh_staging_pool;

/* Implement send and reserve_sends of backend.h. */
gh_status gh_staging_send(gh_error *err, gh_device *d, gh_staging_pool *pool, gh_buffer *to, int64_t offset,
                          const void *from, int64_t bytes);
gh_status gh_staging_reserve(gh_error *err, gh_device *d, gh_staging_pool *pool, int64_t bytes, int64_t count);
void gh_staging_free(gh_device *d, gh_staging_pool *pool); /* no send may be in flight */

#endif
