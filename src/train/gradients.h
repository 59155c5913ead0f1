/* Which trained parameter a tensor that a node writes is the gradient of. */
#ifndef GH_TRAIN_GRADIENTS_H
#define GH_TRAIN_GRADIENTS_H

#include "graph/graph.h"

typedef struct gh_gradient {
  const gh_tensor *tensor;
  int parameter;
} gh_gradient;

typedef struct gh_gradients {
  gh_gradient *items; /* (count) by address */
  int count;
} gh_gradients;

/* Of parameters (count), all trainable. Free with gh_gradients_free. */
gh_status gh_gradients_list(gh_error *err, gh_gradients *out, gh_tensor *const *parameters, int count);
void gh_gradients_free(gh_gradients *gradients); /* an empty one is fine */

/* The parameter whose gradient t is, or a reshape of it; -1: none. */
int gh_gradients_find(const gh_gradients *gradients, const gh_tensor *t);

#endif
