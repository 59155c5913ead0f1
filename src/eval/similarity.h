/* Dot products of many rows with many others, on every processor, in float64: each is summed in the order of its
 * elements, so that equal rows tie exactly, whatever the number of threads. */
#ifndef GH_EVAL_SIMILARITY_H
#define GH_EVAL_SIMILARITY_H

#include "base/status.h"

/* Called once for every query, from several threads; scores (m) are the caller's until it returns. */
typedef void gh_similarity_visit(void *user, int64_t query, double *scores);

/* queries (n, width), candidates (m, width). */
gh_status gh_similarities(gh_error *err, const double *queries, int64_t n, const double *candidates, int64_t m,
                          int64_t width, gh_similarity_visit *visit, void *user);

#endif
