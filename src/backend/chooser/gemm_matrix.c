/* Matrix products by a GPU's matrix units (cl/tuned_gemm_matrix.cl). */
#include <stdio.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "cl/gemm_layout.h"

/* Two operands, two steps of them, at most 20 pieces in the place of 16. Offsets in a step have 32 bits: 2 bytes times
 * at most 127 rows of LONGEST. */
enum {
  LARGE = 128,
  ITEMS = GEMM_MATRIX_ITEMS,
  LOCAL_BYTES = 4 * 2 * LARGE * GEMM_MATRIX_DEPTH(LARGE) / 16 * GEMM_EIGHT(4),
  LONGEST = 1 << 23
};

/* The defines of a unit's kernels; NULL: none. Intel's compiler is told to use all 256
 * registers of a thread: with its default of 128 the sums spill. */
static const char *const defines[][2] = {
    [GH_MATRIX_MMA] = {"-DUNIT_MMA -DTILE=64", "-DUNIT_MMA -DTILE=128"},
    [GH_MATRIX_MFMA] = {"-DUNIT_MFMA -DTILE=64", "-DUNIT_MFMA -DTILE=128"},
    [GH_MATRIX_WMMA] = {"-DUNIT_WMMA -DTILE=64", "-DUNIT_WMMA -DTILE=128"},
    [GH_MATRIX_DPAS16] = {"-DUNIT_DPAS16 -DTILE=64 -cl-intel-256-GRF-per-thread",
                          "-DUNIT_DPAS16 -DTILE=128 -cl-intel-256-GRF-per-thread"},
    [GH_MATRIX_DPAS8] = {"-DUNIT_DPAS8 -DTILE=64 -cl-intel-256-GRF-per-thread",
                         "-DUNIT_DPAS8 -DTILE=128 -cl-intel-256-GRF-per-thread"},
};

static bool supports(const gh_gemm_desc *g, const gh_device *d, bool large) {
  return gh_dtype_is_narrow(g->dtype) && d->info.shape == GH_SHAPE_GPU && d->info.max_group >= ITEMS &&
         g->lda <= LONGEST && g->ldb <= LONGEST && d->info.local_bytes >= LOCAL_BYTES &&
         d->info.matrix != GH_MATRIX_NONE && defines[d->info.matrix][large];
}

bool gh_matrix_supports_64(const gh_gemm_desc *g, const gh_device *d) { return supports(g, d, false); }
bool gh_matrix_supports_128(const gh_gemm_desc *g, const gh_device *d) { return supports(g, d, true); }

/* Work-items of a group: a wave of 8 lanes is given a larger part of the tile. */
static size_t items_of(const char *unit, int width) {
  return width == 8 && unit && strstr(unit, "UNIT_DPAS8") ? GEMM_MATRIX_FEW_ITEMS : ITEMS;
}

gh_status gh_gemm_matrix_bind_as(gh_error *err, gh_device *d, const char *unit, int64_t tile, const gh_gemm_desc *g,
                                 const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  char all[160];
  const int width = gh_gemm_load_width(g, 8);
  snprintf(all, sizeof all, "%s -DWIDTH=%d %s%s", unit, width, gh_gemm_second_define(g), gh_gemm_storage_defines(g));
  gh_kernel_id id = {.name = gh_gemm_kernel_name(g), .source = "tuned_gemm_matrix", .defines = all, .dtype = GH_F32};
  gh_grid grid = {{(size_t)GH_CEIL_DIV(g->n, tile), (size_t)GH_CEIL_DIV(g->m, tile), (size_t)g->batch},
                  {items_of(unit, width), 1, 1}};
  gh_arg args[32];
  int count = gh_gemm_common_args(args, g, a, b, c);
  count += gh_gemm_second_args(args + count, g);
  return d->backend->bind_kernel(err, d, &id, &grid, args, count, out);
}

const char *gh_matrix_unit_defines(const gh_device *d, int64_t tile) { return defines[d->info.matrix][tile == LARGE]; }

gh_status gh_gemm_matrix_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  const int64_t tile = provider->size[0];
  return gh_gemm_matrix_bind_as(err, d, gh_matrix_unit_defines(d, tile), tile, g, a, b, c, out);
}
