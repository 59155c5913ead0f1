/* Two recordings of one graph, on two devices, compared node by node on equal inputs. */
#ifndef GH_GRAPH_COMPARE_H
#define GH_GRAPH_COMPARE_H

#include "graph/graph.h"

/* How far a node's results diverge. */
typedef struct gh_node_difference {
  int index;               /* of the node, in both graphs */
  const gh_node *node;     /* a's */
  const gh_tensor *tensor; /* a's: the result that diverges most */
  double difference;       /* ||a - b|| / ||a||, or ||b|| if a is 0; integers: the fraction that differs */
  double rounding;         /* how far it moves on a when every input moves by one rounding; -1: not measured */
  bool wrong;              /* beyond both the bound and what rounding explains */
} gh_node_difference;

typedef struct gh_graph_compare_options {
  double bound; /* relative; 16-bit results may also diverge by one rounding of their type */
  void (*node)(void *context, const gh_node_difference *result); /* called for every node run; may be NULL */
  void *context;
  const char *sabotage; /* test of the test: this op's result on b is wrong by 1 % */
} gh_graph_compare_options;

/* Runs both planned graphs: a as usual, b with every node's inputs overwritten by a's. Stops after the first wrong
 * node; first->node is NULL if there is none. b's results are not those of a normal run. GH_ERROR_ARGUMENT if the
 * graphs' nodes differ. */
gh_status gh_graph_compare(gh_error *err, gh_graph *a, gh_graph *b, const gh_graph_compare_options *options,
                           gh_node_difference *first);

/* gh_graph_run, with the error that gh_graph_compare_options.sabotage injects. */
gh_status gh_graph_run_sabotaged(gh_error *err, gh_graph *g, const char *op);

/* A tensor's elements as numbers, whatever its type; values (gh_tensor_elements). Waits for the device. Words of a
 * block (uint32) are interpreted as float32. */
gh_status gh_tensor_read_numbers(gh_error *err, gh_device *device, const gh_tensor *t, float *values);

#endif
