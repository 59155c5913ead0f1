/* 3 x 3 convolutions on CPUs with AMX: cl/tuned_conv_amx.cl. */
#include <math.h>

#include "backend/chooser/gemm_internal.h"
#include "cl/launch.h"

enum { SIDE = GEMM_AMX_ROWS, CHANNELS = 32, TAPS = 9, GROUP_WORDS = TAPS * SIDE * CHANNELS / 2 };

/* bfloat16 pieces of a number. */
static int pieces_of(const gh_gemm_desc *g) { return g->dtype == GH_F32 ? 3 : 1; }

#define WEIGHT_NUMBERS 300000 /* of a part of the output channels: less than half of a second-level cache */

static int64_t groups_of(int64_t channels) { return GH_CEIL_DIV(channels, CHANNELS); }

bool gh_conv_amx_supports(const gh_gemm_desc *g, const gh_device *d) {
  return d->info.amx && d->info.shape == GH_SHAPE_CPU && (g->dtype == GH_F32 || g->dtype == GH_BF16) &&
         gh_gemm_is_plain_image(g) && g->image.channels <= CONV_AMX_CHANNELS / pieces_of(g) && g->n < INT32_MAX;
}

/* Words, as many as float32 numbers. */
int64_t gh_conv_amx_prepared(const gh_gemm_desc *g) {
  return GH_CEIL_DIV(g->m, SIDE) * groups_of(g->image.channels) * GROUP_WORDS * pieces_of(g);
}

gh_status gh_conv_amx_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *g, const gh_buffer *a, gh_launch **out) {
  const gh_kernel_id id = {
      .name = "conv2d_amx_weight", .source = "tuned_conv_amx", .defines = gh_gemm_storage_defines(g), .dtype = GH_F32};
  const gh_grid grid = {{(size_t)GH_CEIL_DIV(g->m, SIDE), (size_t)groups_of(g->image.channels), 1}, {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(g->image.prepared), gh_arg_buffer(a), gh_arg_i64(g->image.prepared_offset),
                         gh_arg_i32(g->image.channels), gh_arg_i32(g->m)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}

/* ---- blocks ---- */

/* A work-item's positions and output channels, and how many of the channels at a time. */
typedef struct conv_cut {
  int64_t rows, columns, outs, part;
} conv_cut;

/* Processor cycles of one work-item, apart from what all have alike: a tile of 16 positions x 16 outs takes 16 for 32
 * channels and a product of pieces, packing 32 channels of 16 pixels about 100 for a piece. */
static double cycles(const gh_gemm_desc *g, const conv_cut *b) {
  const double products = g->dtype == GH_F32 ? 6 : 1;
  const int64_t pitch = CONV_AMX_PITCH(b->columns, g->image.width);
  const double pixels = (double)((b->rows + 2) * pitch), groups = (double)groups_of(g->image.channels);
  const double positions = (double)(GH_CEIL_DIV((b->rows - 1) * pitch + b->columns, SIDE) * SIDE);
  const double outs = (double)(GH_CEIL_DIV(b->outs, SIDE) * SIDE);
  return groups * (positions * outs * TAPS * products / 16 + pixels * pieces_of(g) * 100 / 16);
}

static bool fits(const gh_gemm_desc *g, const conv_cut *b) {
  const int64_t pitch = CONV_AMX_PITCH(b->columns, g->image.width);
  return CONV_AMX_PIXELS(b->rows, b->columns, pitch) * groups_of(g->image.channels) * CHANNELS * pieces_of(g) <=
         CONV_AMX_PANEL;
}

static int64_t blocks_of(const gh_gemm_desc *g, const conv_cut *b) {
  return GH_CEIL_DIV(g->image.height, b->rows) * GH_CEIL_DIV(g->image.width, b->columns);
}

static int64_t items_of(const gh_gemm_desc *g, const conv_cut *b) {
  return g->batch * blocks_of(g, b) * GH_CEIL_DIV(g->m, b->outs);
}

/* The blocks with the fewest cycles for the core that has the most of them. None of this changes the result's bits. */
static conv_cut cut_for(const gh_gemm_desc *g, int64_t cores) {
  const int64_t height = g->image.height, width = g->image.width;
  conv_cut best = {.rows = 0};
  double least = HUGE_VAL;
  for (int64_t columns = width; columns > 0; columns = columns > 16 ? GH_CEIL_DIV(columns, 16) * 16 - 16 : 0)
    for (int64_t down = 1, last = 0; down <= height; down++) {
      const int64_t rows = GH_CEIL_DIV(height, down), before = last;
      last = rows;
      for (int64_t parts = 1; rows != before && (parts == 1 || g->m / parts >= SIDE); parts *= 2) {
        conv_cut b = {.rows = rows, .columns = columns, .outs = gh_split_evenly(g->m, GH_CEIL_DIV(g->m, parts), SIDE)};
        const double time = (double)GH_CEIL_DIV(items_of(g, &b), GH_MAX(cores, 1)) * cycles(g, &b);
        if (!fits(g, &b) || time >= least) continue;
        least = time;
        best = b;
      }
    }
  const int64_t weights = groups_of(g->image.channels) * CHANNELS * TAPS; /* of an out */
  best.part = GH_MIN(GH_MAX(WEIGHT_NUMBERS / pieces_of(g) / weights / SIDE * SIDE, SIDE), CONV_AMX_PART);
  return best;
}

gh_status gh_conv_amx_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                           const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider;
  (void)a; /* prepared holds it in another form */
  const conv_cut cut = cut_for(g, d->info.compute_units);
  const gh_kernel_id id = {
      .name = "conv2d_amx", .source = "tuned_conv_amx", .defines = gh_gemm_storage_defines(g), .dtype = GH_F32};
  const gh_grid grid = {{(size_t)(g->batch * blocks_of(g, &cut)), (size_t)GH_CEIL_DIV(g->m, cut.outs), 1}, {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(c),
                         gh_arg_buffer(b),
                         gh_arg_buffer(g->image.prepared),
                         gh_arg_i64(g->image.prepared_offset),
                         gh_arg_buffer(g->epilogue == GH_EPILOGUE_BIAS ? g->bias : NULL),
                         gh_arg_i64(g->batch),
                         gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->m),
                         gh_arg_i32(g->image.height),
                         gh_arg_i32(g->image.width),
                         gh_arg_i32(cut.rows),
                         gh_arg_i32(cut.columns),
                         gh_arg_i32(cut.outs),
                         gh_arg_i32(cut.part)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}
