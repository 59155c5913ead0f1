/* Attention on matrix units: with its own instructions on a device that has them, elsewhere with a unit emulated, so
 * that the kernels' own index arithmetic runs. Compared with float64 on the host, PyTorch's NaN and the op's fixtures;
 * also checks that it is used only where it is possible and correct. */
#ifndef GH_TESTS_SUPPORT_ATTENTION_MATRIX_H
#define GH_TESTS_SUPPORT_ATTENTION_MATRIX_H

#include "backend/chooser/attention_internal.h"
#include "support/attention_problem.h"

typedef struct attention_matrix_unit {
  gh_shape shape;                 /* of its kernels */
  gh_attention_provider emulated; /* in the place of a unit that the device has not */
  const attention_sizes *more;    /* further cases */
  int more_count;
} attention_matrix_unit;

/* Runs all tests on GH_TEST_DEVICE, or "auto"; returns the number of failures. */
int attention_matrix_tests(const attention_matrix_unit *unit);

#endif
