/* The kernels of the matrix units for the parts of attention: names, grids, and the devices on which they can run. */
#include <stdio.h>

#include "backend/chooser/attention_internal.h"
#include "cl/launch.h"

enum { ITEMS = ATTENTION_MATRIX_ITEMS, LOCAL_BYTES = 36 * 1024, SIZES = 4 };

const int gh_attention_sizes[SIZES + 1] = {64, 72, 80, 128, 0};

/* For each part: the number of units stacked vertically and the columns of a tile. They are as large as the registers
 * of every device from sm_80 to sm_120 allow; a mask takes some. */
enum { SMALL, SMALL_MASKED, LARGE, KINDS }; /* heads up to 80, the same with a mask, heads up to 128 */
static const struct {
  int high, columns;
} tiles[KINDS][GH_ATTENTION_PARTS] = {
    {{2, 32}, {2, 16}, {1, 32}}, {{2, 32}, {1, 32}, {1, 32}}, {{1, 32}, {1, 32}, {1, 16}}};

int gh_attention_index(int64_t size) {
  for (int i = 0; i < SIZES; i++)
    if (gh_attention_sizes[i] == size) return i;
  return -1;
}

void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out) {
  static const char *const kernels[] = {"attention_matrix_forward", "attention_matrix_backward_q",
                                        "attention_matrix_backward_kv"};
  const int kind = desc->size > 80 ? LARGE : desc->hidden ? SMALL_MASKED : SMALL, high = tiles[kind][desc->part].high;
  const int64_t rows = 16 * ATTENTION_MATRIX_WAVES * high,
                count = desc->part == GH_ATTENTION_BACKWARD_KV ? desc->nk : desc->nq;
  snprintf(out->defines, sizeof out->defines, "%s -DPART=%d -DSIZE=%d -DMI=%d -DCOLUMNS=%d%s", unit, (int)desc->part,
           (int)desc->size, high, tiles[kind][desc->part].columns, desc->hidden ? " -DMASKED=1" : "");
  out->id = (gh_kernel_id){
      .name = kernels[desc->part], .source = "tuned_attention_matrix", .defines = out->defines, .dtype = GH_F32};
  out->grid = (gh_grid){{(size_t)GH_CEIL_DIV(count, rows), (size_t)desc->heads, (size_t)desc->batch}, {ITEMS, 1, 1}};
}

bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d) {
  return gh_attention_index(desc->size) >= 0 && d->info.shape == GH_SHAPE_GPU && d->info.max_group >= ITEMS &&
         d->info.local_bytes >= LOCAL_BYTES;
}
