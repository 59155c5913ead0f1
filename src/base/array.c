#include "base/array.h"

#include <stdlib.h>
#include <string.h>

#define LEAST 16 /* items of a first allocation */

gh_status gh_array_reserve(gh_error *err, void *items, size_t *capacity, size_t used, size_t more, size_t item_bytes) {
  if (more <= *capacity - used) return GH_OK;
  if (more > SIZE_MAX / 2 - used) return gh_fail(err, GH_ERROR_MEMORY, "an array of %zu more items", more);
  size_t larger = *capacity + *capacity / 2;
  if (larger < used + more) larger = used + more;
  if (larger < LEAST) larger = LEAST;
  void *moved = gh_alloc(err, larger, item_bytes), *before;
  if (!moved) return GH_ERROR_MEMORY;
  memcpy(&before, items, sizeof before); /* a pointer to any type */
  if (used) memcpy(moved, before, used * item_bytes);
  free(before);
  memcpy(items, &moved, sizeof moved);
  *capacity = larger;
  return GH_OK;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void gh_sort_doubles(double *values, size_t n) {
  if (n) qsort(values, n, sizeof *values, ascending);
}
