/* Sorting, and growable arrays: a pointer, how many items are in use, and the capacity, wherever its owner keeps them.
 */
#ifndef GH_BASE_ARRAY_H
#define GH_BASE_ARRAY_H

#include "base/status.h"

/* Room for `more` items behind the `used` ones: `items` (an lvalue) moves where the size_t `capacity` is too small, and
 * grows by half at least. On failure (GH_ERROR_MEMORY) nothing has changed. */
#define GH_ARRAY_RESERVE(err, items, capacity, used, more)                                                             \
  gh_array_reserve(err, &(items), &(capacity), used, more, sizeof *(items))

/* `items` is the address of the pointer. What is beyond the used items is zero after a move. */
gh_status gh_array_reserve(gh_error *err, void *items, size_t *capacity, size_t used, size_t more, size_t item_bytes);

void gh_sort_doubles(double *values, size_t n); /* ascending */

#endif
