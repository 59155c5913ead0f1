/* Two recordings of one graph, on two devices, compared node by node on equal inputs. */
#ifndef GH_GRAPH_COMPARE_H
#define GH_GRAPH_COMPARE_H

#include "graph/graph.h"

/* How far a node's results are apart. */
typedef struct gh_node_difference {
  int index;               /* of the node, in both graphs */
  const gh_node *node;     /* a's */
  const gh_tensor *tensor; /* a's: the result that differs most */
  double difference;       /* ||a - b|| / ||a|| of it, ||b|| where a is 0; of integers: the share that differs */
  double rounding;         /* how far it moves on a when every input moves by a rounding; -1: not measured */
  bool wrong;              /* beyond the bound, and more than rounding explains */
} gh_node_difference;

typedef struct gh_graph_compare_options {
  double bound; /* relative; results of 16 bits may be a rounding of theirs apart, too */
  void (*node)(void *context, const gh_node_difference *result); /* every node that was run; may be NULL */
  void *context;
  const char *sabotage; /* test of the test: the op of this name gives b a result that is off by 1 % */
} gh_graph_compare_options;

/* Runs both planned graphs, a as it would run by itself, b with every node's inputs overwritten by a's; stops behind
 * the first node that is wrong. first->node is NULL where none is. b's results are no run's. GH_ERROR_ARGUMENT where
 * the graphs are not of the same nodes. */
gh_status gh_graph_compare(gh_error *err, gh_graph *a, gh_graph *b, const gh_graph_compare_options *options,
                           gh_node_difference *first);

/* gh_graph_run, with the error that gh_graph_compare_options.sabotage plants. */
gh_status gh_graph_run_sabotaged(gh_error *err, gh_graph *g, const char *op);

/* A tensor's elements as numbers, whatever its type; values (gh_tensor_elements). Waits for the device. Words of a
 * block (uint32) are taken for the float32 they may hold. */
gh_status gh_tensor_read_numbers(gh_error *err, gh_device *device, const gh_tensor *t, float *values);

#endif
