/* Spectra: the vendor library's 2-D Fourier transform, or our own if the library lacks the size or the device. */
#include <math.h>

#include "ops/ops.h"

enum { INVERSE };

static gh_status fft2d_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (x->rank < 3 || x->shape[x->rank - 1] != 2 || x->dtype != GH_F32)
    return gh_graph_fail(g, node, "input 0 must be (..., H, W, 2): complex numbers as pairs of f32");
  gh_declare_like(g, node, x);
  return gh_declare_scratch(g, node, GH_F32, gh_tensor_elements(x));
}

static gh_fft_desc describe(const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = x->shape[x->rank - 3], columns = x->shape[x->rank - 2];
  return (gh_fft_desc){.batch = gh_tensor_elements(x) / (2 * rows * columns),
                       .rows = rows,
                       .columns = columns,
                       .inverse = node->attr[INVERSE] != 0};
}

/* The factor of the next pass: a pass costs that many operations per element, so small factors are combined. */
static int64_t next_factor(int64_t n) {
  for (int64_t f = 16; f > 1; f--)
    if (n % f == 0) return f;
  for (int64_t f = 17; f <= n / f; f += 2)
    if (n % f == 0) return f;
  return n;
}

typedef struct gh_fft_pass {
  int64_t outer, n, inner, done, factor;
} gh_fft_pass;

#define MAX_PASSES 128 /* a length has at most 62 factors */

static int list_passes(gh_fft_pass *passes, const gh_fft_desc *d) {
  const gh_fft_pass sides[] = {{d->batch * d->rows, d->columns, 1, 1, 1}, {d->batch, d->rows, d->columns, 1, 1}};
  int count = 0;
  for (int i = 0; i < 2; i++)
    for (gh_fft_pass p = sides[i]; p.done < p.n; p.done *= p.factor) {
      p.factor = next_factor(p.n / p.done);
      passes[count++] = p;
    }
  if (!count) passes[count++] = sides[0]; /* 1 x 1: a copy */
  return count;
}

/* The passes of cl/fft.cl: they write the output and the scratch alternately; the last writes the output. */
static gh_status record_passes(gh_recorder *r, const gh_node *node, const gh_fft_desc *desc) {
  gh_fft_pass passes[MAX_PASSES];
  int count = list_passes(passes, desc);
  const gh_tensor *from = node->in[0];
  const gh_grid grid = gh_grid_elements(r, gh_tensor_elements(from) / 2);
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    const gh_fft_pass *p = &passes[i];
    const gh_tensor *to = (count - i) % 2 ? node->out[0] : node->scratch;
    status = GH_RECORD(r, node, "fft_pass", grid, gh_arg_tensor(to), gh_arg_tensor(from), gh_arg_long(p->outer),
                       gh_arg_long(p->n), gh_arg_long(p->inner), gh_arg_long(p->done), gh_arg_long(p->factor),
                       gh_arg_float(desc->inverse ? 1 : -1));
    from = to;
  }
  return status;
}

/* GH_FFT=own in the environment disables the library: tests cover both. */
static gh_status fft2d_launch(gh_recorder *r, const gh_node *node) {
  const gh_fft_desc desc = describe(node);
  bool done;
  gh_status status = gh_record_fft(r, &desc, node->in[0], node->out[0], &done);
  return status || done ? status : record_passes(r, node, &desc);
}

/* The usual count for fast transforms: 5 n log2 n. */
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
