/* What ops require of their inputs. */
#include "ops/ops.h"

gh_status gh_want_rank(gh_graph *g, const gh_node *node, int input, int rank) {
  if (node->in[input] && node->in[input]->rank == rank) return GH_OK;
  return gh_graph_fail(g, node, "input %d must have %d dimensions", input, rank);
}

gh_status gh_want_shape(gh_graph *g, const gh_node *node, int input, int rank, const int64_t *shape) {
  const gh_tensor *t = node->in[input];
  bool same = t && t->rank == rank;
  for (int i = 0; same && i < rank; i++) same = t->shape[i] == shape[i];
  return same ? GH_OK : gh_graph_fail(g, node, "input %d has the wrong shape", input);
}

gh_status gh_want_same(gh_graph *g, const gh_node *node, int input, int other) {
  const gh_tensor *t = node->in[input], *o = node->in[other];
  return t && o && gh_same_shape(t, o)
             ? GH_OK
             : gh_graph_fail(g, node, "inputs %d and %d must have the same shape", other, input);
}

gh_status gh_want_integers(gh_graph *g, const gh_node *node, int input, int64_t samples) {
  const gh_tensor *t = node->in[input];
  if (gh_want_rank(g, node, input, 2)) return GH_ERROR_ARGUMENT;
  if (t->dtype == GH_I32 && t->shape[0] == samples) return GH_OK;
  return gh_graph_fail(g, node, "input %d must be int32, one row per sample", input);
}
