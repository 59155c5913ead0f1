/* The interface of a compiled program (a shared object that replaces a cubin) to the driver's double: included by both,
 * so it is C and C++. */
#ifndef GH_TESTS_CUDA_DOUBLE_MODULE_H
#define GH_TESTS_CUDA_DOUBLE_MODULE_H

#define GH_DOUBLE_TABLE "gh_double_table"

typedef struct gh_double_index {
  unsigned x, y, z;
} gh_double_index;

typedef struct gh_double_kernel {
  const char *name;
  void (*run)(void *const *arguments); /* one work-item */
  int count;
  const unsigned short *sizes; /* bytes of each argument */
  const bool *pointers;
} gh_double_kernel;

typedef struct gh_double_table_t {
  unsigned version; /* of the prelude */
  int arch;         /* 90: for sm_90 */
  int kernel_count;
  const gh_double_kernel *kernels;
  gh_double_index *thread, *block, *block_size, *grid_size; /* read by the kernels */
  void (**barrier)(void);
  char *shared, *shared_end; /* all __shared__ memory of the program */
} gh_double_table_t;

#endif
