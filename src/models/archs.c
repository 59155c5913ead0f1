#include "models/archs.h"
#include "base/text.h"
#include "models/family.h"

#include <stdio.h>
#include <string.h>

#define MOST_NAMES 64

gh_status gh_arch_find(gh_error *err, const char *name, const gh_arch **out) {
  const char *names[MOST_NAMES] = {0};
  size_t n = 0;
  for (const gh_family *const *f = gh_families; *f; f++)
    for (const gh_arch *a = (*f)->archs; a->name && n < MOST_NAMES; a++) {
      names[n++] = a->name;
      if (strcmp(a->name, name)) continue;
      *out = a;
      return GH_OK;
    }
  const char *nearest = gh_nearest(name, names, n);
  if (nearest) return gh_fail(err, GH_ERROR_ARGUMENT, "unknown architecture %s; did you mean %s?", name, nearest);
  char list[768] = "";
  size_t used = 0;
  for (size_t i = 0; i < n && used < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
  return gh_fail(err, GH_ERROR_ARGUMENT, "unknown architecture %s; available: %s", name, list);
}

gh_status gh_arch_tensors(gh_error *err, const gh_arch *arch, gh_arch_visit *visit, void *user) {
  gh_walk w = {.err = err, .visit = visit, .user = user};
  arch->vision.family->tensors(&w, &arch->vision, &arch->text);
  return w.status;
}

static gh_status count(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  (void)err, (void)name, (void)init;
  int64_t n = 1;
  for (int i = 0; i < rank; i++) n *= shape[i];
  *(int64_t *)user += n;
  return GH_OK;
}

int64_t gh_arch_parameters(const gh_arch *arch) {
  int64_t total = 0;
  gh_arch_tensors(NULL, arch, count, &total);
  return total;
}
