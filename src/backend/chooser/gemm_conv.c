/* Convolutions as products whose B is formed from an image (gh_gemm_desc.image): what is common to their providers, and
 * those of GPUs. There the project's own kernel forms B as it loads it (cl/gemm_image.h), and columns in memory with a
 * product of them, which may be a vendor's library's, are the other way; timing decides. */
#include <stdio.h>

#include "backend/chooser/gemm_internal.h"
#include "cl/gemm_layout.h"

bool gh_gemm_is_usual_image(const gh_gemm_desc *g) {
  return g->image.side == 3 && g->image.stride == 1 && g->image.top == 1 && g->image.left == 1 && !g->trans_b &&
         g->image.out_width == g->image.width && g->n == g->image.height * g->image.width;
}

bool gh_gemm_is_plain_image(const gh_gemm_desc *g) {
  return gh_gemm_is_usual_image(g) && g->dtype_c == g->dtype && !g->trans_a && g->lda == g->k && g->ldc == g->n &&
         !g->offset_a && !g->offset_b && !g->offset_c && g->alpha == 1 && g->beta == 0 &&
         (g->batch == 1 || (!g->stride_a && g->stride_b == g->image.channels * g->n && g->stride_c == g->m * g->n));
}

int64_t gh_gemm_image_positions(const gh_gemm_desc *g) { return g->trans_b ? g->k : g->n; }

void gh_gemm_image_key(const gh_gemm_desc *g, char *key, size_t size) {
  const long long side = g->image.side, h = g->image.height, w = g->image.width;
  if (gh_gemm_is_usual_image(g))
    snprintf(key, size, " 3x3 w=%lld", w);
  else
    snprintf(key, size, " %lldx%lld of %lldx%lld to w=%lld by %lld at %lld,%lld", side, side, h, w,
             (long long)g->image.out_width, (long long)g->image.stride, (long long)g->image.top,
             (long long)g->image.left);
}

void gh_gemm_image_resize(gh_gemm_desc *g, int64_t channels, int64_t height, int64_t out_height) {
  const int64_t rows = channels * g->image.side * g->image.side, positions = out_height * g->image.out_width;
  g->image.channels = channels;
  g->image.height = height;
  g->k = g->trans_b ? positions : rows;
  g->n = g->trans_b ? rows : positions;
  g->ldc = g->n;
  g->stride_b = channels * height * g->image.width;
  g->stride_c = g->m * g->n;
}

/* ---- the kernel that forms B ---- */

/* Its offsets in bytes and its division by out_width have 32 bits. */
static bool fits(const gh_gemm_desc *g, const gh_device *d) {
  const int64_t pixels = g->image.channels * g->image.height * g->image.width, limit = INT64_C(1) << 31;
  return pixels && !g->trans_a && g->image.side * g->image.side <= GEMM_IMAGE_TAPS && d->info.shape == GH_SHAPE_GPU &&
         pixels * (int64_t)gh_dtype_size(g->dtype) < limit && GH_MAX(g->k, g->n) < limit &&
         gh_gemm_image_positions(g) * g->image.out_width < limit;
}

/* The gradient of the weights is float32 alone. */
bool gh_conv_gpu_supports_4(const gh_gemm_desc *g, const gh_device *d) {
  return fits(g, d) && (g->dtype == GH_F32 || !g->trans_b) && d->info.max_group >= GEMM_GPU_SIDE * GEMM_GPU_SIDE &&
         d->info.local_bytes >= GEMM_GPU_LOCAL;
}

/* Beside two sums of 32 numbers, a bfloat16 C's, an image's offsets spilled on Intel. */
bool gh_conv_gpu_supports_8(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_F32 && g->dtype_c == GH_F32 && gh_conv_gpu_supports_4(g, d);
}

const char *gh_conv_gpu_name(const gh_gemm_desc *g) { return g->trans_b ? "conv2d_product_weight" : "conv2d_product"; }

int gh_conv_gpu_args(gh_arg *args, const gh_gemm_desc *g) {
  const uint32_t inverse = (uint32_t)(((INT64_C(1) << 32) + g->image.out_width - 1) / g->image.out_width);
  const int64_t sizes[] = {g->image.height, g->image.width, g->image.stride,
                           g->image.top,    g->image.left,  g->image.out_width};
  int count = 0;
  for (size_t i = 0; i < GH_COUNT(sizes); i++) args[count++] = gh_arg_i32(sizes[i]);
  args[count++] = gh_arg_i32((int32_t)inverse); /* an unsigned one */
  return count;
}

/* ---- the same on matrix units, in bfloat16, forward ---- */

/* The k of the weights in the kernel's order, or 0. */
static int64_t prepared_k(const gh_gemm_desc *g) {
  const int64_t k = g->image.channels * g->image.side * g->image.side;
  return g->trans_b || g->image.channels % GEMM_IMAGE_GROUP ? 0 : GH_CEIL_DIV(k, GEMM_IMAGE_PAD) * GEMM_IMAGE_PAD;
}

int64_t gh_conv_matrix_prepared(const gh_gemm_desc *g) { return g->m * prepared_k(g) / 2; }

bool gh_conv_matrix_supports_64(const gh_gemm_desc *g, const gh_device *d) {
  return fits(g, d) && prepared_k(g) && gh_matrix_supports_64(g, d);
}

bool gh_conv_matrix_supports_128(const gh_gemm_desc *g, const gh_device *d) {
  return fits(g, d) && prepared_k(g) && gh_matrix_supports_128(g, d);
}

gh_status gh_conv_matrix_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *g, const gh_buffer *a,
                                 gh_launch **out) {
  const gh_kernel_id id = {.name = "conv2d_image_weight", .dtype = g->dtype};
  const gh_grid grid = {{(size_t)g->m, 1, 1}, {(size_t)GH_MIN(d->info.max_group, GROUP_ITEMS), 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(g->image.prepared),
                         gh_arg_buffer(a),
                         gh_arg_i64(2 * g->image.prepared_offset),
                         gh_arg_i64(g->m),
                         gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->image.side * g->image.side),
                         gh_arg_i32(prepared_k(g))};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}

gh_status gh_conv_matrix_bind_as(gh_error *err, gh_device *d, const char *unit, int64_t tile, const gh_gemm_desc *g,
                                 const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  gh_gemm_desc product = *g;
  char all[180];
  gh_arg args[32];
  product.k = product.lda = prepared_k(g);
  product.offset_a = 2 * g->image.prepared_offset;
  product.stride_a = 0;
  snprintf(all, sizeof all, "-DIMAGE=%d %s -DWIDTH=%d %s", (int)g->image.side, unit, gh_gemm_load_width(&product, 8),
           gh_gemm_storage_defines(g));
  const gh_kernel_id id = {.name = gh_conv_gpu_name(g), .source = "tuned_gemm_matrix", .defines = all, .dtype = GH_F32};
  const gh_grid grid = {{(size_t)GH_CEIL_DIV(g->n, tile), (size_t)GH_CEIL_DIV(g->m, tile), (size_t)g->batch},
                        {GEMM_MATRIX_ITEMS, 1, 1}};
  int count = gh_gemm_common_args(args, &product, g->image.prepared, b, c);
  count += gh_conv_gpu_args(args + count, g);
  args[count++] = gh_arg_i32(g->image.channels);
  return d->backend->bind_kernel(err, d, &id, &grid, args, count, out);
}

gh_status gh_conv_matrix_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  const int64_t tile = provider->size[0];
  (void)a; /* prepared holds it in another form */
  return gh_conv_matrix_bind_as(err, d, gh_matrix_unit_defines(d, tile), tile, g, b, c, out);
}

/* ---- columns in memory ---- */

bool gh_columns_support(const gh_gemm_desc *g, const gh_device *d) {
  return g->image.channels && d->info.shape == GH_SHAPE_GPU && g->dtype == g->dtype_c;
}

gh_status gh_columns_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  char key[160];
  (void)d, (void)a, (void)b, (void)c;
  *out = NULL;
  gh_gemm_key(g, key, sizeof key);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "GEMM %s: with %s, the op itself forms the columns", key,
                 provider->base.name);
}

gh_gemm_desc gh_columns_product(const gh_gemm_desc *of) {
  gh_gemm_desc g = *of;
  g.image.channels = 0;
  g.ldb = gh_gemm_image_positions(of);
  g.offset_b = 0;
  g.stride_b = g.n * g.k;
  return g;
}

/* Of the whole batch; in work-groups as in ops/conv2d.c. */
gh_status gh_columns_write(gh_error *err, gh_device *d, const gh_gemm_desc *g, const gh_buffer *b, gh_buffer *columns,
                           gh_launch **out) {
  const int64_t side = g->image.side, width = g->image.out_width;
  const int64_t rows = g->batch * g->image.channels * side * side, out_rows = gh_gemm_image_positions(g) / width;
  const int64_t limit = GH_MIN(d->info.max_group, GROUP_ITEMS), wanted = GH_MAX(GH_MIN(width, 128), width / 4);
  int64_t lanes = 32;
  while (lanes < wanted && 2 * lanes <= limit) lanes *= 2;
  const int64_t teams = limit / lanes;
  const gh_kernel_id id = {.name = "conv2d_columns", .dtype = g->dtype};
  const gh_grid grid = {{(size_t)GH_CEIL_DIV(rows, teams), 1, 1}, {(size_t)lanes, (size_t)teams, 1}};
  const gh_arg args[] = {gh_arg_buffer(columns),
                         gh_arg_buffer(b),
                         gh_arg_i64(0),
                         gh_arg_i64(rows),
                         gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->image.height),
                         gh_arg_i32(g->image.width),
                         gh_arg_i32(side),
                         gh_arg_i32(side),
                         gh_arg_i32(g->image.stride),
                         gh_arg_i32(g->image.top),
                         gh_arg_i32(g->image.left),
                         gh_arg_i32(0),
                         gh_arg_i32(out_rows),
                         gh_arg_i32(width)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}
