/* Shared by the project's own families of matrix products: names of kernels, defines, arguments. */
#include "backend/chooser/gemm_internal.h"

const char *gh_gemm_kernel_name(const gh_gemm_desc *g) {
  static const char *const names[2][2] = {{"gemm_nn", "gemm_nt"}, {"gemm_tn", "gemm_tt"}};
  return names[g->trans_a][g->trans_b];
}

const char *gh_gemm_storage_defines(const gh_gemm_desc *g) {
  static const char *const names[][GH_F16 + 1] = {
      [GH_F32] = {[GH_F32] = "", [GH_BF16] = "-DC_BF16", [GH_F16] = "-DC_F16"},
      [GH_BF16] = {[GH_F32] = "-DAB_BF16", [GH_BF16] = "-DAB_BF16 -DC_BF16"},
      [GH_F16] = {[GH_F32] = "-DAB_F16", [GH_F16] = "-DAB_F16 -DC_F16"}};
  return names[g->dtype][g->dtype_c];
}

int gh_gemm_common_args(gh_arg *args, const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b,
                        const gh_buffer *c) {
  const int64_t sizes[] = {g->m,        g->n,        g->k,        g->lda,      g->ldb,      g->ldc,
                           g->offset_a, g->offset_b, g->offset_c, g->stride_a, g->stride_b, g->stride_c};
  int count = 0;
  args[count++] = gh_arg_buffer(c);
  args[count++] = gh_arg_buffer(a);
  args[count++] = gh_arg_buffer(b);
  for (size_t i = 0; i < GH_COUNT(sizes); i++) args[count++] = gh_arg_i64(sizes[i]);
  args[count++] = gh_arg_f32(g->alpha);
  args[count++] = gh_arg_f32(g->beta);
  args[count++] = gh_arg_buffer(g->epilogue == GH_EPILOGUE_BIAS ? g->bias : NULL);
  return count;
}

const char *gh_gemm_second_define(const gh_gemm_desc *g) { return g->second.k ? "-DSECOND_PAIR " : ""; }

int gh_gemm_second_args(gh_arg *args, const gh_gemm_desc *g) {
  int count = 0;
  if (!g->second.k) return 0;
  args[count++] = gh_arg_buffer(g->second.a);
  args[count++] = gh_arg_buffer(g->second.b);
  args[count++] = gh_arg_i64(g->second.k);
  args[count++] = gh_arg_i64(g->second.lda);
  args[count++] = gh_arg_i64(g->second.ldb);
  args[count++] = gh_arg_f32(g->second.alpha);
  args[count++] = gh_arg_f32(g->second.alpha / g->alpha);
  return count;
}

int gh_gemm_load_width(const gh_gemm_desc *g, int most) {
  const bool image = g->image.channels != 0; /* then B's numbers come one by one */
  int64_t all = g->lda | g->offset_a;        /* its lowest bit is the lowest of any of them */
  if (g->batch > 1) all |= g->stride_a;
  if (g->trans_a) all |= g->m;
  if (!image) all |= g->ldb | g->offset_b;
  if (!image && g->batch > 1) all |= g->stride_b;
  if (!image && !g->trans_b) all |= g->n;
  return most == 8 && all % 8 == 0 ? 8 : all % 4 == 0 ? 4 : 1;
}

int64_t gh_split_evenly(int64_t whole, int64_t most, int64_t step) {
  int64_t pieces = GH_CEIL_DIV(whole, most);
  return GH_CEIL_DIV(GH_CEIL_DIV(whole, pieces), step) * step;
}
