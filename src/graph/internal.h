/* Shared by the files of src/graph. */
#ifndef GH_GRAPH_INTERNAL_H
#define GH_GRAPH_INTERNAL_H

#include "graph/graph.h"

/* A growing array of pointers; its user decides whether it owns them. */
typedef struct gh_list {
  void **items;
  int count;
  size_t capacity;
} gh_list;

gh_status gh_list_push(gh_error *err, gh_list *list, void *item);

/* A launch and its entry for the measuring functions. */
typedef struct gh_recorded {
  gh_launch *launch;
  gh_launch_note note;
  char name[160];
} gh_recorded;

struct gh_graph {
  gh_device *device;
  gh_error error;                /* the first failure; GH_OK if none */
  gh_list nodes;                 /* gh_node *, in execution order */
  gh_list tensors;               /* gh_tensor *: the values */
  gh_list adjoints_of, adjoints; /* differentiation: tensor -> its gradient, side by side */
  int forward_nodes;             /* nodes recorded when differentiation began */
  int segment;                   /* of the nodes being recorded */
  int last_segment;              /* of the forward pass */
  const char *phase;             /* of the nodes being recorded */
  bool recompute;
  gh_tensor *round_step; /* gh_graph_round */
  uint64_t round_seed;
  int round_stage;
  bool planned;
  gh_list arenas;      /* gh_buffer * */
  gh_list views;       /* gh_buffer *: the values' places in them */
  gh_list launches;    /* gh_recorded *, in order */
  gh_launch *captured; /* all launches as one command, if the backend supports it */
  bool has_run;        /* and was therefore offered for capture */
  int64_t peak_bytes;
};

struct gh_recorder {
  gh_graph *graph;
  gh_error *err;
  const gh_node *node; /* the node whose launches are being recorded */
  bool choosing;       /* binds nothing: only chooses providers of matrix products */
};

gh_tensor *gh_tensor_create(gh_error *err, const char *name, gh_lifetime lifetime, gh_dtype dtype, int rank,
                            const int64_t *shape);
void gh_tensor_free(gh_tensor *t);
gh_tensor *gh_tensor_root(const gh_tensor *t); /* follows reshapes to the owner of the memory */

gh_status gh_record_launches(gh_error *err, gh_graph *g);
gh_status gh_settle_nodes(gh_error *err, gh_graph *g); /* gh_op.settle of every living node */

#endif
