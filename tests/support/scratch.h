/* A scratch folder for a group of tests, and a device: cmocka_run_group_tests(tests, scratch_begin, scratch_end). */
#ifndef GH_TESTS_SUPPORT_SCRATCH_H
#define GH_TESTS_SUPPORT_SCRATCH_H

#include "support/check.h"

extern char *scratch;
extern gh_device *scratch_device;

int scratch_begin(void **state);             /* the folder */
int scratch_begin_with_device(void **state); /* and the device that "auto" opens */
int scratch_end(void **state);

#endif
