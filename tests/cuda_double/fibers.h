/* Runs the work-items of a block in turn on one thread. */
#ifndef GH_TESTS_CUDA_DOUBLE_FIBERS_H
#define GH_TESTS_CUDA_DOUBLE_FIBERS_H

#include <stdbool.h>

#include "module.h"

#define DOUBLE_MAX_BLOCK 1024 /* work-items */

typedef struct double_grid {
  gh_double_index blocks, size;
} double_grid;

/* All blocks of a launch, one after the other. NULL, or why it failed. */
const char *double_run_kernel(const gh_double_table_t *table, const gh_double_kernel *kernel, double_grid grid,
                              void *const *arguments);

#endif
