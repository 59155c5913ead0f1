/* Sends: writes that do not wait for the queue, from staging memory of our own. Which piece is used, when a new one is
 * made and when the device is waited for is decided here; a backend makes pieces and enqueues copies from them. */
#ifndef GH_BACKEND_CORE_STAGING_H
#define GH_BACKEND_CORE_STAGING_H

#include "backend/backend.h"

/* One piece of staging memory. A backend's own begins with it. */
typedef struct gh_staging {
  struct gh_staging *next;
  void *memory;
  int64_t bytes;
  bool busy;     /* a send is on its way from it */
  int64_t order; /* of that send among all */
} gh_staging;

typedef struct gh_staging_kind {
  /* Optional: makes the device ready for the calls below, or refuses what is about to be done. */
  gh_status (*enter)(gh_error *err, gh_device *d, const char *what);
  gh_status (*create)(gh_error *err, gh_device *d, int64_t bytes, gh_staging **out); /* sets memory */
  void (*free)(gh_device *d, gh_staging *piece);
  /* A send from the piece is over: clears busy; otherwise leaves it. The error is that of the send itself. */
  gh_status (*poll)(gh_error *err, gh_device *d, gh_staging *piece);
  gh_status (*wait)(gh_error *err, gh_device *d, gh_staging *piece); /* for that send, which is then over */
  gh_status (*enqueue)(gh_error *err, gh_device *d, gh_staging *piece, gh_buffer *to, int64_t offset, int64_t bytes);
} gh_staging_kind;

typedef struct gh_staging_pool {
  const gh_staging_kind *kind;
  gh_staging *first;
} gh_staging_pool;

/* What backend.h says of send and reserve_sends. */
gh_status gh_staging_send(gh_error *err, gh_device *d, gh_staging_pool *pool, gh_buffer *to, int64_t offset,
                          const void *from, int64_t bytes);
gh_status gh_staging_reserve(gh_error *err, gh_device *d, gh_staging_pool *pool, int64_t bytes, int64_t count);
void gh_staging_free(gh_device *d, gh_staging_pool *pool); /* no send may be under way */

#endif
