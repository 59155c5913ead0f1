/* The host side of cl/sample.h: batches processed sample by sample, and the step block they read. */
#ifndef GH_OPS_SAMPLE_H
#define GH_OPS_SAMPLE_H

#include "cl/launch.h"
#include "graph/graph.h"

static inline int64_t gh_sample_chunks(int64_t elements) { return GH_CEIL_DIV(elements, SAMPLE_CHUNK); }

/* One row per chunk of up to SAMPLE_CHUNK elements; `elements` per sample. */
static inline gh_grid gh_grid_samples(const gh_recorder *r, int64_t samples, int64_t elements) {
  return gh_grid_rows(r, samples * gh_sample_chunks(elements), GH_MIN(elements, SAMPLE_CHUNK));
}

/* The same for kernels that go through the chunks in pieces. */
static inline gh_rows gh_sample_rows(int64_t samples, int64_t elements) {
  return (gh_rows){samples * gh_sample_chunks(elements), GH_MIN(elements, SAMPLE_CHUNK), elements};
}

/* Elements of one sample: all dimensions but the first. */
static inline int64_t gh_sample_elements(const gh_tensor *t) { return gh_tensor_elements(t) / t->shape[0]; }

/* Checks that the input is a step or control block of cl/step.h; records the failure. */
gh_status gh_want_block(gh_graph *g, const gh_node *node, int input);

#endif
