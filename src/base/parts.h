/* Several processes that share work on items: each does a block of whole batches, so that every item is computed as by
 * one process, and then all have all results. A NULL of this is one process. train/ranks_encode.h fills it. */
#ifndef GH_BASE_PARTS_H
#define GH_BASE_PARTS_H

#include "base/status.h"

typedef struct gh_parts {
  int part, parts;
  /* The kernels that part 0 has chosen, to all. Part 0 calls it after it has planned, the others before. */
  gh_status (*share_choices)(gh_error *err, void *user);
  /* Every part gives its status; if one failed, all fail with its reason. */
  gh_status (*agree)(gh_error *err, void *user, gh_status own);
  /* The same; then every part's numbers, [starts[p], starts[p + 1]), to all. */
  gh_status (*exchange)(gh_error *err, void *user, gh_status own, float *numbers, const size_t *starts);
  void *user;
} gh_parts;

/* Of `count` items in batches of `unit`: this part's are [*first, result). */
size_t gh_parts_range(const gh_parts *parts, size_t count, size_t unit, size_t *first);

/* Before and after planning: gives or takes the choices of kernels. */
gh_status gh_parts_before(gh_error *err, const gh_parts *parts);
gh_status gh_parts_after(gh_error *err, const gh_parts *parts);

gh_status gh_parts_agree(gh_error *err, const gh_parts *parts, gh_status own);
/* Whether part 0 says so. */
gh_status gh_parts_ask(gh_error *err, const gh_parts *parts, gh_status own, bool *so);

/* rows (count, width): this part's are there, and `own` says whether; the others' are filled in. */
gh_status gh_parts_exchange(gh_error *err, const gh_parts *parts, gh_status own, float *rows, size_t count, size_t unit,
                            int64_t width);

#endif
