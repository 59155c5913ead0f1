/* What compare.c (runs the steps) and report.c (prints the results) share. */
#ifndef GH_COMPARE_INTERNAL_H
#define GH_COMPARE_INTERNAL_H

#include "compare/compare.h"
#include "graph/compare.h"
#include "train/loop.h"

/* The drift of a set of tensors, the gradients or the weights: norms of differences over norms of the first. */
typedef struct gh_drift {
  double total;     /* of all tensors that count, as one */
  double worst;     /* the largest of each[] */
  const char *name; /* the tensor with the worst drift */
  double *each;     /* (count) as the parameters are listed */
} gh_drift;

typedef struct gh_compared_step {
  int64_t step; /* 1 is the first */
  double loss[2], loss_drift;
  gh_drift gradients, weights;
  bool *counts; /* (count) false where the gradient is only rounding error, which AdamW turns into full steps */
  int left_out; /* parameters that do not count */
  bool updated; /* weights were compared too */
} gh_compared_step;

/* What the node-by-node comparison of a stage found for one op. */
typedef struct gh_compared_op {
  const gh_op *op;
  int nodes;
  double worst;    /* the largest difference of its nodes */
  double rounding; /* the difference that rounding explains there; -1: not measured */
} gh_compared_op;

typedef struct gh_compared_nodes {
  int64_t step;
  int nodes;
  gh_compared_op *ops; /* (count), in the order met */
  int count;
  gh_node_difference first;
  char text[400]; /* of the first wrong node; "" where there is none */
} gh_compared_nodes;

gh_status gh_compare_open_report(gh_error *err, gh_device *const devices[2], const gh_compare_options *options,
                                 gh_json *result);
/* The stage's object in the result. */
gh_json *gh_compare_begin_stage(gh_error *err, gh_json *result, const gh_loop *loop, int64_t steps, bool recompute);
gh_status gh_compare_put_step(gh_error *err, gh_json *stage, const gh_update *update, const gh_compared_step *step);
gh_status gh_compare_put_nodes(gh_error *err, gh_json *stage, const gh_compared_step *last, gh_compared_nodes *walk);
/* Writes one line that locates the node in the graph: op, index, phase, sizes, the weight it reads. */
void gh_compare_describe(char *text, size_t size, const gh_node_difference *found);

#endif
