/* For test programs in which every case needs the device under test. */
#ifndef TESTS_SUPPORT_ON_DEVICE_H
#define TESTS_SUPPORT_ON_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"

extern gh_device *device; /* "auto", between open_device and close_device */
extern gh_error err;      /* the last call's */

/* Set-up and tear-down of a case or of a group. */
int open_device(void **state);
int close_device(void **state);

/* The same device once more, with kernels of a shape: "/cpu", "/gpu", or "" for its usual ones. NULL: it has no such
 * kernels. */
gh_device *open_as(const char *shape);

/* Fails the case with the call and the error's line. */
#define OK(call) assert_ok((call), #call)
void assert_ok(gh_status status, const char *what);

/* From here on kernels and choices are cached in a fresh folder, whose path is returned; remove_own_cache removes
 * it. */
const char *own_cache(void);
void remove_own_cache(void);

#endif
