/* Status codes and the error record every fallible function fills.
 *
 * Rule of the project: a function that can fail returns gh_status and takes a `gh_error *` as its first argument.
 * The function that detects the failure writes the one line the user will read; callers only pass it up
 * (`goto fail`, one free). Only main() prints it and exits. */
#ifndef GH_BASE_STATUS_H
#define GH_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gh_status {
  GH_OK = 0,
  GH_ERROR_ARGUMENT,    /* the caller or the command line asked for something invalid */
  GH_ERROR_FILE,        /* a file could not be opened, read or written (the text says which and why) */
  GH_ERROR_FORMAT,      /* a file's content violates its format */
  GH_ERROR_CONFIG,      /* a run configuration is wrong */
  GH_ERROR_MEMORY,      /* host or device memory ran out, or would run out */
  GH_ERROR_DEVICE,      /* the device or its driver failed */
  GH_ERROR_UNSUPPORTED, /* valid, but not implemented here; the text names it */
  GH_ERROR_NUMERIC,     /* a loss or a result is not finite */
  GH_ERROR_STOPPED,     /* a signal requested a stop; the state was saved */
  GH_ERROR_INTERRUPTED  /* a signal requested a stop; there is no state to resume */
} gh_status;

#define GH_ERROR_TEXT_SIZE 1024

typedef struct gh_error {
  gh_status status;
  char text[GH_ERROR_TEXT_SIZE]; /* one line, no trailing newline, as gh_text_show (base/utf8.h) leaves it */
} gh_error;

/* Writes the formatted line and the status into err (NULL allowed) and returns the status, so that
 * `return gh_fail(err, GH_ERROR_FORMAT, "%s: ...", path);` is the usual form. */
gh_status gh_fail(gh_error *err, gh_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prefixes err's text with the formatted context and ": ", and returns its status. */
gh_status gh_fail_in(gh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory; on failure or overflow of count * size, NULL and GH_ERROR_MEMORY in err. */
void *gh_alloc(gh_error *err, size_t count, size_t size);
char *gh_strdup(gh_error *err, const char *text);

/* How many of these allocations have failed so far: tells a failure of the host's memory from a plan that does not fit.
 */
long gh_alloc_failures(void);

/* Test hook: the n-th allocation from now fails (0 = off). */
void gh_alloc_fail_after(long n);

#define GH_COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define GH_MIN(a, b)      ((a) < (b) ? (a) : (b))
#define GH_MAX(a, b)      ((a) > (b) ? (a) : (b))
#define GH_CEIL_DIV(a, b) (((a) + (b)-1) / (b))

#endif
