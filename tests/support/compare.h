/* Comparing safetensors files tensor by tensor. NaN is never close to anything. */
#ifndef GH_TESTS_SUPPORT_COMPARE_H
#define GH_TESTS_SUPPORT_COMPARE_H

#include "io/safetensors.h"
#include "support/check.h"

/* All elements as float32; the caller frees. Fails the test if there is no such tensor. */
float *compare_load(const gh_safetensors *file, const char *name, int64_t *elements);
float compare_number(const gh_safetensors *file, const char *name); /* of a tensor of one element */

/* Largest absolute difference of n values; infinite if one is NaN. */
double compare_distance(const float *got, const float *want, int64_t n);
/* Fails, naming `what`, if the distance exceeds the tolerance. */
void compare_values(const char *what, const float *got, const float *want, int64_t n, double tolerance);
/* Compares the tensors of that name: same shape, values within the tolerance. */
void compare_tensors(const gh_safetensors *got, const gh_safetensors *want, const char *name, double tolerance);

/* Runs a command line, "encode", "--model", ..., NULL, as main does; its output goes to the test's output. */
gh_status compare_run(gh_error *err, ...) __attribute__((sentinel));

#endif
