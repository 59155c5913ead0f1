/* Messages to the user on stderr, progress of long work, and the stop request that a signal leaves. */
#ifndef GH_BASE_LOG_H
#define GH_BASE_LOG_H

#include "base/status.h"

typedef enum gh_log_level { GH_LOG_QUIET, GH_LOG_WARNING, GH_LOG_INFO, GH_LOG_DEBUG } gh_log_level;

/* One line each, prefixed with "warning: " or "debug: ", as gh_text_show (base/utf8.h) leaves it. On a terminal the
 * status line is cleared first and redrawn after, and the prefix is coloured. Safe from any thread. The initial level
 * is GH_LOG_INFO. */
void gh_log_set_level(gh_log_level level);
gh_log_level gh_log_get_level(void);
void gh_log_keep_status(bool keep); /* the status line of a terminal is shown at every level */
void gh_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gh_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gh_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Text with its newline on stdout, so that it does not collide with the status line. Safe from any thread. */
void gh_print(const char *text);
/* "PROGRAM: TEXT" on stderr, below a status line that is left over. */
void gh_print_failure(const char *program, const char *text);

/* Gives every line to `write` instead of stderr, without the newline and without "warning: " in front; NULL: stderr
 * again. The calls come one at a time, from the thread that has the line. `write` must not call back into the log. */
typedef void gh_log_write(void *user, gh_log_level level, const char *line);
void gh_log_set_writer(gh_log_write *write, void *user);

/* Monotonic seconds. */
double gh_now(void);

/* Progress of `total` units (0: unknown). On a terminal: one status line as wide as the terminal is at that moment
 * (base/status_line.h), redrawn at most ten times per second. Otherwise, and if a writer receives the lines: a line
 * after 1 s, 2 s, 4 s, ..., then every 60 s, and one at the end. One at a time. */
typedef struct gh_progress {
  const char *what, *unit;            /* "stage 1", "steps": borrowed */
  uint64_t total, done, first, drawn; /* drawn: the count that is on the terminal or in the log */
  double started, shown, interval;
  bool terminal, active;
  /* Set after gh_progress_start where they are known. */
  const char *rate_unit; /* the rate is in these, rate_factor per unit: "images"; borrowed */
  double rate_factor;
  int64_t memory_bytes; /* that the work needs on the device */
  const char *device;   /* borrowed */
} gh_progress;

/* `done` is the starting count: a resumed run's rate counts only this process's work. */
void gh_progress_start(gh_progress *progress, const char *what, const char *unit, uint64_t total, uint64_t done);
void gh_progress_update(gh_progress *progress, uint64_t done, const char *note); /* note: "loss 0.71", may be NULL */
void gh_progress_end(gh_progress *progress);

/* After gh_stop_install, SIGINT, SIGTERM, SIGUSR1, SIGXCPU and (unless it is ignored) SIGHUP set a flag; a second
 * signal ends the process at once. gh_stop_renew does it again, if it was done: a driver's compiler (LLVM) takes
 * SIGUSR1. */
void gh_stop_install(void);
void gh_stop_renew(void);
bool gh_stop_requested(void);
int gh_stop_signal(void);      /* which signal, 0 for none */
void gh_stop_request(int sig); /* as if the signal had arrived; 0 clears the flag (tests) */

#endif
