/* Spectra: the vendor library's 2-D Fourier transform. */
#include <math.h>

#include "ops/ops.h"

enum { INVERSE };

static gh_status fft2d_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (x->rank < 3 || x->shape[x->rank - 1] != 2 || x->dtype != GH_F32)
    return gh_graph_fail(g, node, "input 0 must be (..., H, W, 2): complex numbers as pairs of f32");
  return gh_declare_like(g, node, x);
}

static gh_fft_desc describe(const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = x->shape[x->rank - 3], columns = x->shape[x->rank - 2];
  return (gh_fft_desc){.batch = gh_tensor_elements(x) / (2 * rows * columns),
                       .rows = rows,
                       .columns = columns,
                       .inverse = node->attr[INVERSE] != 0};
}

static gh_status fft2d_launch(gh_recorder *r, const gh_node *node) {
  const gh_fft_desc desc = describe(node);
  return gh_record_fft(r, &desc, node->in[0], node->out[0]);
}

/* As fast transforms are counted: 5 n log2 n. */
static double fft2d_flops(const gh_node *node) {
  const gh_fft_desc desc = describe(node);
  double n = (double)desc.rows * (double)desc.columns;
  return 5 * (double)desc.batch * n * log2(n);
}

const gh_op gh_op_fft2d = {.name = "fft2d",
                           .attrs = {"inverse"},
                           .wide = GH_WIDE_ALL,
                           .infer = fft2d_infer,
                           .launch = fft2d_launch,
                           .flops = fft2d_flops};

gh_tensor *gh_fft2d(gh_graph *g, gh_tensor *x, bool inverse) {
  const double attr = inverse;
  return gh_apply(g, &gh_op_fft2d, &x, 1, &attr, 1);
}
