/* Whether two runs' folders are the same to the bit, but for the timings in their logs. */
#ifndef GH_TESTS_SUPPORT_SAME_RUN_H
#define GH_TESTS_SUPPORT_SAME_RUN_H

#include <stddef.h>

/* Fails, naming `moment`, unless every file of `want` exists in `got` with the same bytes, and no other. `got` may have
 * one more state: a kill while removing an old state leaves its rest, which the next state removes. */
void same_run(const char *want, const char *got, const char *moment);
/* A file of a run without timings; the caller frees. */
char *same_run_content(const char *run, const char *name, size_t *size);
int same_run_lines(const char *run); /* of its metrics: updates */

#endif
