/* Comparing what the ranks of a job start from. */
#ifndef GH_DIST_COMPARE_H
#define GH_DIST_COMPARE_H

#include "base/json.h"
#include "dist/comm.h"

/* Compares `own` (NULL: memory ran out, err says so) with rank 0's; frees it. Where a member differs, all ranks fail
 * with GH_ERROR_CONFIG, which names the rank, the member ("stage1.batch") and both values. `except` (ends with NULL)
 * lists the dotted paths that may differ. */
gh_status gh_comm_compare(gh_error *err, gh_comm *comm, gh_json *own, const char *const *except);

#endif
