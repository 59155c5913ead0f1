/* Faults of the machine are told apart from broken content by their status, at the place where they are found:
 * GH_ERROR_FILE (a file cannot be opened or read) and GH_ERROR_MEMORY say nothing about what the file holds, whereas
 * GH_ERROR_FORMAT and GH_ERROR_UNSUPPORTED do. Content that cannot be used is skipped, counted and named. A fault may
 * pass, so the work is tried again, and if it does not pass, it ends the command. */
#ifndef GH_BASE_RETRY_H
#define GH_BASE_RETRY_H

#include <stdatomic.h>

#include "base/status.h"

bool gh_status_is_fault(gh_status status);

/* GH_RETRY_SECONDS of the environment: 3 by default, and for what is no number from 0 to 3600, with a warning. */
double gh_retry_seconds(void);

/* One for each piece of work; zeros to start with. */
typedef struct gh_retry {
  int waits;
  const atomic_bool *give_up; /* may be NULL. true ends the waits: others waited in vain, or the work is not wanted */
} gh_retry;

/* After a failure: waits and returns true if the work is to be tried again: after a fault, five times, with waits that
 * double and make up gh_retry_seconds. The first one warns. */
bool gh_retry_wait(gh_retry *retry, const gh_error *err);

/* Whether the errno of a path that was looked for says that there is none. A disk or server that fails does not. */
bool gh_code_means_absent(int code);

/* gh_retry_wait for a call on the path that failed with this errno. That the path is absent or forbidden is no fault.
 * After waits in vain, later faults are not waited for until a call succeeds: gh_retry_passed. */
bool gh_retry_code(gh_retry *retry, const char *path, int code);
void gh_retry_passed(void);

#endif
