/* Known answers for the ops, run on any device: the op tests and `genhance selftest` share this.
 *
 * A safetensors file holds cases (made by tests/reference/opcase.py). Metadata "cases": a JSON list of
 *   {"name", "op", "attrs": {name: number}, "inputs": n, "outputs": n, "absent": [indices of NULL inputs],
 *    "finite": false if finite differences make no sense}
 * and metadata "errors": {"<case>.<tensor>": PyTorch float32's own error}. Tensors of a case:
 *   <case>.in<i>     float32, int32 or uint32
 *   <case>.dout<i>   float32; absent if no gradient arrives
 *   <case>.out<i>    float64 (int32: must match exactly)
 *   <case>.din<i>    float64; absent: that input gets no gradient
 *   <case>.after<i>  float64, when outputs is 0: input i after the run
 *
 * Error of a tensor: ||ours - expected||_2 / ||expected||_2, the absolute norm if ||expected|| is 0. Tolerance:
 * min(1e-4, max(4 x PyTorch float32's error, 2.5e-7)). NaN fails.
 *
 * A case runs as three graphs. Direct: on persistent tensors, twice, so that gradients double. Values: on values that
 * are all kept, with poisoned memory and checked gaps. Forward: forward only, where in-place ops may overwrite, with
 * finite differences along a direction that mixes the gradient's and a random one. Every tensor must also fail with an
 * error of 1 % in one element.
 *
 * In a narrow type the expected values are the op's float32 results (checked as above) for the same inputs and
 * gradients rounded to it; an element may only be off by the roundings of stored intermediates: narrow.c. */
#ifndef GH_OPS_CHECK_CHECK_H
#define GH_OPS_CHECK_CHECK_H

#include "graph/graph.h"
#include "io/safetensors.h"

typedef struct gh_check_result {
  const char *op, *test; /* "layernorm", "65x33" */
  const char *tensor;    /* "out0", "din1", "out0 through values"; "" if the whole case failed */
  double error, tolerance;
  bool passed;
  const char *note; /* the reason, if it is not an error beyond the tolerance; else "" */
} gh_check_result;

typedef struct gh_check_options {
  bool brief;      /* only outputs and gradients of one direct run, for the self-test */
  bool sabotage;   /* test of the test: plants an error of 1 % in one element of each tensor of the direct run */
  gh_dtype narrow; /* runs ops with a narrow form in this type; the others give no result; GH_F32: all in float32 */
} gh_check_options;

typedef struct gh_check_listener {
  void *context;
  void (*result)(void *context, const gh_check_result *result);
  /* Each op that a case's graphs launched (in a narrow type: with that storage), repeatedly; may be NULL. */
  void (*used)(void *context, const gh_op *op);
} gh_check_listener;

/* Runs every case of the file. An error means that the file is malformed; a case that cannot run is a failed result. */
gh_status gh_check_file(gh_error *err, gh_device *device, const gh_safetensors *file, gh_check_options options,
                        const gh_check_listener *listener);

/* The small file of cases embedded in the binary (tests/fixtures/selftest.safetensors): every op, made by
 * tests/reference/make_selftest.py. */
extern const unsigned char gh_embedded_selftest[];
extern const size_t gh_embedded_selftest_size;
gh_status gh_check_embedded(gh_error *err, gh_device *device, gh_check_options options,
                            const gh_check_listener *listener);

/* The ops without a file of cases (random numbers, the control block); the host computes the answers. */
void gh_check_drawn(gh_device *device, gh_check_options options, const gh_check_listener *listener);

#endif
