#include "base/retry.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAITS = 5, PARTS = (1 << WAITS) - 1 }; /* 1 + 2 + 4 + 8 + 16 parts */

bool gh_status_is_fault(gh_status status) { return status == GH_ERROR_FILE || status == GH_ERROR_MEMORY; }

double gh_retry_seconds(void) {
  const double usual = 3, most = 3600;
  const char *text = getenv("GH_RETRY_SECONDS");
  if (!text || !*text) return usual;
  char *end;
  const double given = strtod(text, &end);
  if (!*end && given >= 0 && given <= most) return given;
  gh_warn("GH_RETRY_SECONDS=%s: expected 0 to %g seconds; %g are used", text, most, usual);
  return usual;
}

static bool is_given_up(const gh_retry *retry) { return retry->give_up && atomic_load(retry->give_up); }

bool gh_retry_wait(gh_retry *retry, const gh_error *err) {
  if (!gh_status_is_fault(err->status) || retry->waits == WAITS) return false;
  const double all = gh_retry_seconds(), until = gh_now() + all / (double)PARTS * (1 << retry->waits);
  if (all <= 0 || is_given_up(retry)) return false;
  if (!retry->waits++) gh_warn("%s; trying again for %g s", err->text, all);
  while (!is_given_up(retry)) {
    const double left = GH_MIN(until - gh_now(), 0.02);
    if (left <= 0) return true;
    nanosleep(&(struct timespec){.tv_nsec = (long)(left * 1e9)}, NULL);
  }
  return false;
}

bool gh_code_means_absent(int code) {
  return code == ENOENT || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG;
}

static atomic_bool waited_in_vain;

void gh_retry_passed(void) {
  if (atomic_load(&waited_in_vain)) atomic_store(&waited_in_vain, false);
}

bool gh_retry_code(gh_retry *retry, const char *path, int code) {
  gh_error why = {0};
  if (gh_code_means_absent(code) || code == EACCES || code == EPERM || atomic_load(&waited_in_vain)) return false;
  gh_fail(&why, GH_ERROR_FILE, "%s: %s", path, strerror(code));
  if (gh_retry_wait(retry, &why)) return true;
  atomic_store(&waited_in_vain, true);
  return false;
}
