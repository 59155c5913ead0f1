/* Matrix products on CPUs with AVX512_BF16 (cl/tuned_gemm_dot.cl). */
#include "backend/chooser/gemm_internal.h"
#include "cl/launch.h"

bool gh_dot_supports(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_BF16 && d->info.bf16_dot && d->info.shape == GH_SHAPE_CPU;
}

enum { STRIP = GEMM_STRIP, ROWS = GEMM_DOT_ROWS, CHUNK = 2 * GEMM_DOT_PAIRS, GROUPS_PER_CORE = 3 };

/* Each split by rows packs the panel again, and each split by columns the block. The dot product is faster than
 * packing, so there are only enough work-groups to keep the cores busy. */
gh_status gh_dot_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                      const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  const int64_t wanted = GH_MAX(d->info.compute_units, 1) * GROUPS_PER_CORE;
  const int64_t kc = gh_split_evenly(g->k, provider->size[1], CHUNK);
  int64_t nb = gh_split_evenly(g->n, provider->size[0], STRIP), mt;
  for (;;) {
    const int64_t most = GH_MIN(GEMM_DOT_TOTAL / nb, 2 * GEMM_DOT_BLOCK / kc) / ROWS * ROWS;
    const int64_t across = GH_CEIL_DIV(g->n, nb) * g->batch;
    mt = gh_split_evenly(g->m, GH_MIN(most, ROWS * GH_CEIL_DIV(GH_CEIL_DIV(g->m, ROWS), GH_CEIL_DIV(wanted, across))),
                         ROWS);
    if (GH_CEIL_DIV(g->m, mt) * across >= wanted || nb <= STRIP) break;
    nb = GH_CEIL_DIV(nb / 2, STRIP) * STRIP;
  }
  gh_kernel_id id = {.name = gh_gemm_kernel_name(g),
                     .source = "tuned_gemm_dot",
                     .defines = gh_gemm_storage_defines(g),
                     .dtype = GH_F32};
  gh_grid grid = {{(size_t)GH_CEIL_DIV(g->m, mt), (size_t)GH_CEIL_DIV(g->n, nb), (size_t)g->batch}, {1, 1, 1}};
  gh_arg args[24];
  int count = gh_gemm_common_args(args, g, a, b, c);
  args[count++] = gh_arg_i32(mt);
  args[count++] = gh_arg_i32(nb);
  args[count++] = gh_arg_i32(kc);
  return d->backend->bind_kernel(err, d, &id, &grid, args, count, out);
}
