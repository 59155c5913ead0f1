/* Rows of results for tests. */
#ifndef TESTS_SUPPORT_RESULTS_H
#define TESTS_SUPPORT_RESULTS_H

#include "bench/results.h"

#define KIB 1024.0
#define MIB (1024 * KIB)

/* A result of genhance in float32 on "Chip (host)", by the wall clock; the caller changes what differs. */
gh_result *add_result(gh_results *rows, const char *kind, const char *op, const char *device, double value,
                      const char *unit, const char *better);
gh_result *add_seconds(gh_results *rows, const char *op, const char *device, double seconds); /* of an op */
/* A peak: of arithmetic with gflops above 0, else of memory. */
void add_peak(gh_results *rows, const char *op, const char *device, double gflops, double gbytes, double working_set);
void set_text(gh_result *row, gh_result_field field, const char *text);

#endif
