/* Dot products of many rows with many others, on all processors, in float64: each sum follows the order of the
 * elements, so that equal rows tie exactly for any number of threads. */
#ifndef GH_EVAL_SIMILARITY_H
#define GH_EVAL_SIMILARITY_H

#include "base/status.h"

/* Called once per query, from several threads; scores (m) are valid, and may be modified, until it returns. */
typedef void gh_similarity_visit(void *user, int64_t query, double *scores);

/* queries (n, width), candidates (m, width). */
gh_status gh_similarities(gh_error *err, const double *queries, int64_t n, const double *candidates, int64_t m,
                          int64_t width, gh_similarity_visit *visit, void *user);

#endif
