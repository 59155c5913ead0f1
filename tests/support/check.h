/* Helpers for the host-side tests. */
#ifndef GH_TESTS_SUPPORT_CHECK_H
#define GH_TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"

/* Fails with the error's text. */
#define check_ok(call)                                                                                                 \
  do {                                                                                                                 \
    gh_status check_status_ = (call);                                                                                  \
    if (check_status_) fail_msg("status %d: %s", (int)check_status_, err.text);                                        \
  } while (0)

/* Checks that the call fails with this status and a text that contains this piece; err is cleared first. */
#define check_fails(call, expected, piece)                                                                             \
  do {                                                                                                                 \
    err = (gh_error){0};                                                                                               \
    gh_status check_status_ = (call);                                                                                  \
    check_failure(check_status_, &err, expected, piece, __FILE__, __LINE__);                                           \
  } while (0)

void check_failure(gh_status status, const gh_error *err, gh_status expected, const char *piece, const char *file,
                   int line);

/* Whether the device under test ($GH_TEST_DEVICE, else "auto") has kernels of this shape, "cpu" or "gpu". Checks that
 * need a missing shape are left out, not skipped. */
bool check_has_shape(const char *shape);

/* The device that "auto" opens. */
gh_device_info check_device_info(void);

/* A fresh folder below TMPDIR, removed with everything in it by check_folder_done. */
char *check_folder(void); /* the caller frees through check_folder_done */
void check_folder_done(char *folder);
char *check_path(const char *folder, const char *name); /* joined; the caller frees */
void check_write(const char *path, const void *bytes, size_t size);
/* Writes a text to a file below `folder`, creating the folders of its name. */
void check_put(const char *folder, const char *name, const char *text);

/* Runs body with the 1st, 2nd, ... allocation failing until a run succeeds: every failing run must give
 * GH_ERROR_MEMORY and leave nothing behind (checked by the sanitizer build). The body frees what it allocates. */
typedef gh_status (*check_body)(gh_error *err, void *state);
void check_allocation_failures(check_body body, void *state);

/* A deterministic stream of numbers for mutation loops. */
uint32_t check_random(uint64_t *state);
/* Overwrites, inserts, deletes or repeats a few bytes; returns the new size, at most capacity. */
size_t check_mutate(char *bytes, size_t size, size_t capacity, uint64_t *state);

#endif
