#include "train/gradients.h"

#include <stdlib.h>

static int by_address(const void *a, const void *b) {
  const gh_tensor *x = ((const gh_gradient *)a)->tensor, *y = ((const gh_gradient *)b)->tensor;
  return (x > y) - (x < y);
}

gh_status gh_gradients_list(gh_error *err, gh_gradients *g, gh_tensor *const *parameters, int count) {
  *g = (gh_gradients){.items = gh_alloc(err, (size_t)GH_MAX(count, 1), sizeof *g->items), .count = count};
  if (!g->items) return GH_ERROR_MEMORY;
  for (int i = 0; i < count; i++) g->items[i] = (gh_gradient){parameters[i]->grad, i};
  qsort(g->items, (size_t)count, sizeof *g->items, by_address);
  return GH_OK;
}

void gh_gradients_free(gh_gradients *g) {
  free(g->items);
  *g = (gh_gradients){0};
}

int gh_gradients_find(const gh_gradients *g, const gh_tensor *t) {
  while (t && t->source) t = t->source;
  if (!t || t->role != GH_ROLE_GRADIENT) return -1;
  const gh_gradient key = {.tensor = t};
  const gh_gradient *found = bsearch(&key, g->items, (size_t)g->count, sizeof *g->items, by_address);
  return found ? found->parameter : -1;
}
