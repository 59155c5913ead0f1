#include "base/parts.h"

#include <stdlib.h>

static size_t first_of(const gh_parts *p, int part, size_t count, size_t unit) {
  const size_t batches = GH_CEIL_DIV(count, unit);
  return GH_MIN(count, batches * (size_t)part / (size_t)p->parts * unit);
}

size_t gh_parts_range(const gh_parts *p, size_t count, size_t unit, size_t *first) {
  *first = p ? first_of(p, p->part, count, unit) : 0;
  return p ? first_of(p, p->part + 1, count, unit) : count;
}

gh_status gh_parts_before(gh_error *err, const gh_parts *p) {
  return p && p->part ? p->share_choices(err, p->user) : GH_OK;
}

gh_status gh_parts_after(gh_error *err, const gh_parts *p) {
  return p && !p->part ? p->share_choices(err, p->user) : GH_OK;
}

gh_status gh_parts_agree(gh_error *err, const gh_parts *p, gh_status own) {
  return p ? p->agree(err, p->user, own) : own;
}

gh_status gh_parts_ask(gh_error *err, const gh_parts *p, gh_status own, bool *so) {
  if (!p) return own;
  float answer = *so;
  size_t *starts = gh_alloc(err, (size_t)p->parts + 1, sizeof *starts);
  gh_status status = starts || own ? own : GH_ERROR_MEMORY;
  for (int i = 1; starts && i <= p->parts; i++) starts[i] = 1; /* part 0 has the one number */
  status = p->exchange(err, p->user, status, &answer, starts);
  *so = answer != 0;
  free(starts);
  return status;
}

gh_status gh_parts_exchange(gh_error *err, const gh_parts *p, gh_status own, float *rows, size_t count, size_t unit,
                            int64_t width) {
  if (!p) return own;
  size_t *starts = gh_alloc(err, (size_t)p->parts + 1, sizeof *starts);
  gh_status status = starts || own ? own : GH_ERROR_MEMORY;
  for (int i = 0; starts && i <= p->parts; i++) starts[i] = first_of(p, i, count, unit) * (size_t)width;
  status = p->exchange(err, p->user, status, rows, starts);
  free(starts);
  return status;
}
