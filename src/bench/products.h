/* The products of real steps - matrix products, convolutions, attention - as they occur while a step is recorded, each
 * once, to be timed alone. */
#ifndef GH_BENCH_PRODUCTS_H
#define GH_BENCH_PRODUCTS_H

#include "bench/case.h"
#include "bench/results.h"
#include "bench/step.h"

typedef struct gh_product_input {
  int rank; /* of shape; given is false for an absent input */
  bool given, wanted;
  gh_dtype working; /* of its working copy; GH_F32: it has none */
  gh_dtype dtype;
  int64_t shape[GH_MAX_RANK];
} gh_product_input;

typedef struct gh_product {
  const gh_op *op;
  int inputs;
  gh_product_input in[GH_MAX_INPUTS];
  double attr[GH_MAX_ATTRS];
  gh_dtype storage;
  int64_t batch;
  char label[160]; /* sizes without the batch, and what its gradient computes */
  double flops;    /* forward, summed over its occurrences in all recorded steps: how telling it is */
  double once;     /* of one occurrence */
} gh_product;

typedef struct gh_products {
  gh_product *items;
  size_t count, capacity;
} gh_products;

/* Whether an op is one of these. */
bool gh_is_product(const char *op);

/* Adds those of one step. Nothing is allocated on the device or run. */
gh_status gh_products_of_step(gh_error *err, gh_device *device, const gh_bench_options *options, gh_products *list);
void gh_products_sort(gh_products *list); /* the most telling first */
void gh_products_free(gh_products *list);

/* Times one, forward and, where it has a gradient, backward. */
gh_status gh_product_run(gh_error *err, gh_device *device, const gh_product *product, const gh_bench_repeats *how,
                         gh_op_bench *out);

/* Adds a row of kind "peak": the best provider's product of two square matrices, which is where matrix units and dot
 * products count; on a CPU by kernels of its own shape, whichever the device was opened with. `results` must have the
 * device's other peaks: the size follows from them. */
gh_status gh_product_peak(gh_error *err, gh_device *device, gh_dtype storage, const gh_bench_repeats *how,
                          gh_results *results);

#endif
