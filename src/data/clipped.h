/* Warns about pictures of 16-bit grey whose values above 255 became 255 (io/image.h): most of such a picture is white.
 * The first ones are named, all are counted. Safe from any thread. */
#ifndef GH_DATA_CLIPPED_H
#define GH_DATA_CLIPPED_H

#include <pthread.h>

#include "base/status.h"

#define GH_NAMED_CLIPPED 10

/* Start from `gh_clipped clipped = GH_NONE_CLIPPED;`. */
typedef struct gh_clipped {
  pthread_mutex_t lock;
  uint64_t count;
} gh_clipped;
#define GH_NONE_CLIPPED                                                                                                \
  { PTHREAD_MUTEX_INITIALIZER, 0 }

void gh_clipped_note(gh_clipped *clipped, const char *name);
void gh_clipped_end(gh_clipped *clipped); /* warns of the number, if some were not named */

#endif
