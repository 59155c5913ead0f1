/* Counts of how often each control-flow edge was taken since they were last cleared (coverage.c). */
#ifndef GH_TESTS_FUZZ_COVERAGE_H
#define GH_TESTS_FUZZ_COVERAGE_H

#include <stdint.h>

#define FUZZ_COUNTS 65536

extern uint8_t fuzz_counts[FUZZ_COUNTS];
void __sanitizer_cov_trace_pc(void);

#endif
