#include "train/shard.h"

#include <stdlib.h>

typedef struct trained {
  const gh_tensor *tensor;
  int index;
} trained;

static int by_size(const void *a, const void *b) {
  const trained *x = a, *y = b;
  const int64_t m = gh_tensor_elements(x->tensor), n = gh_tensor_elements(y->tensor);
  return m != n ? (m < n) - (m > n) : x->index - y->index;
}

static gh_status divide(gh_error *err, gh_shard *s, trained *list) {
  int64_t *load = gh_alloc(err, (size_t)s->ranks, sizeof *load);
  if (!load) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  qsort(list, (size_t)s->count, sizeof *list, by_size);
  for (int i = 0; i < s->count && !status; i++) {
    const gh_tensor *t = list[i].tensor;
    int least = 0;
    for (int k = 1; k < s->ranks; k++)
      if (load[k] < load[least]) least = k;
    load[least] += gh_tensor_elements(t);
    s->owners[list[i].index] = least;
    if (least == s->rank) continue;
    /* in mixed precision, only the update reads a matrix itself */
    if (t->working && t->role == GH_ROLE_MATRIX) status = gh_strings_add(err, &s->away, t->name);
    if (!status && s->gradients) status = gh_strings_add(err, &s->away, t->grad->name);
  }
  s->kept = load[s->rank];
  gh_strings_sort(&s->away);
  free(load);
  return status;
}

gh_status gh_shard_find(gh_error *err, gh_shard *s, const gh_step_spec *spec, const gh_shard *how) {
  gh_sketch sketch;
  *s = (gh_shard){.rank = how->rank, .ranks = how->ranks, .gradients = how->gradients, .window = how->window};
  gh_status status = gh_sketch_record(err, &sketch, spec);
  const int total = status ? 0 : gh_store_count(sketch.spec.store);
  trained *list = gh_alloc(err, (size_t)GH_MAX(total, 1), sizeof *list);
  s->owners = gh_alloc(err, (size_t)GH_MAX(total, 1), sizeof *s->owners);
  if (!status && (!list || !s->owners)) status = GH_ERROR_MEMORY;
  for (int i = 0; i < total && !status; i++) {
    const gh_tensor *t = gh_store_at(sketch.spec.store, i);
    if (t->trainable) list[s->count] = (trained){t, s->count};
    s->count += t->trainable;
  }
  if (!status) status = divide(err, s, list);
  free(list);
  gh_sketch_free(&sketch);
  return status;
}

void gh_shard_free(gh_shard *s) {
  free(s->owners);
  gh_strings_free(&s->away);
  *s = (gh_shard){0};
}
