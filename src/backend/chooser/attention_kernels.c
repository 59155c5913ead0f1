/* The kernels of the matrix units for the parts of attention: names, grids, and the devices on which they can run. */
#include <stdio.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"
#include "cl/launch.h"

enum { WAVES = ATTENTION_MATRIX_WAVES, SIZES = 4 };

const int gh_attention_sizes[SIZES + 1] = {64, 72, 80, 128, 0};

/* For each part: the number of units of a wave, and the columns of a tile. They are as large as the registers of every
 * device with the unit allow; a mask takes some. */
enum { SMALL, SMALL_MASKED, LARGE, KINDS }; /* heads up to 80, the same with a mask, heads up to 128 */
typedef struct kernels {
  const char *unit, *source; /* defines; the first selects the unit */
  int most;                  /* the largest size of a head */
  int lanes, rows;           /* of a wave; of a unit */
  int local_bytes;           /* of a work-group, at most */
  struct {
    int high, columns;
  } tiles[KINDS][GH_ATTENTION_PARTS];
} kernels;
static const kernels units[] = {
    [GH_MATRIX_MMA] = {"-DUNIT_MMA",
                       "tuned_attention_matrix",
                       128,
                       32,
                       16,
                       36 * 1024,
                       {{{2, 32}, {2, 16}, {1, 32}}, {{2, 32}, {1, 32}, {1, 32}}, {{1, 32}, {1, 32}, {1, 16}}}},
    [GH_MATRIX_MFMA] = {"-DUNIT_MFMA",
                        "tuned_attention_columns",
                        128,
                        64,
                        16,
                        64 * 1024,
                        {{{2, 32}, {2, 32}, {2, 32}}, {{2, 32}, {2, 32}, {2, 32}}, {{2, 32}, {2, 32}, {1, 16}}}},
    [GH_MATRIX_WMMA] = {"-DUNIT_WMMA",
                        "tuned_attention_columns",
                        128,
                        32,
                        16,
                        64 * 1024,
                        {{{1, 32}, {1, 32}, {1, 16}}, {{1, 32}, {1, 32}, {1, 16}}, {{1, 32}, {1, 16}, {1, 16}}}},
};

const char *gh_attention_unit(gh_matrix_unit unit) { return (size_t)unit < GH_COUNT(units) ? units[unit].unit : NULL; }

/* The kernels of the unit that the first define selects. */
static const kernels *kernels_of(const char *defines) {
  const size_t size = strcspn(defines, " ");
  size_t i = 0;
  while (!units[i].unit || strcspn(units[i].unit, " ") != size || strncmp(units[i].unit, defines, size)) i++;
  return &units[i];
}

int gh_attention_index(int64_t size) {
  for (int i = 0; i < SIZES; i++)
    if (gh_attention_sizes[i] == size) return i;
  return -1;
}

void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out) {
  static const char *const names[] = {"attention_matrix_forward", "attention_matrix_backward_q",
                                      "attention_matrix_backward_kv"};
  const kernels *of = kernels_of(unit);
  const int kind = desc->size > 80 ? LARGE
                   : desc->hidden  ? SMALL_MASKED
                                   : SMALL,
            high = of->tiles[kind][desc->part].high;
  const int64_t rows = of->rows * WAVES * high, count = desc->part == GH_ATTENTION_BACKWARD_KV ? desc->nk : desc->nq;
  snprintf(out->defines, sizeof out->defines, "%s -DPART=%d -DSIZE=%d -DMI=%d -DCOLUMNS=%d%s", unit, (int)desc->part,
           (int)desc->size, high, of->tiles[kind][desc->part].columns, desc->hidden ? " -DMASKED=1" : "");
  out->id = (gh_kernel_id){.name = names[desc->part], .source = of->source, .defines = out->defines, .dtype = GH_F32};
  out->grid = (gh_grid){{(size_t)GH_CEIL_DIV(count, rows), (size_t)desc->heads, (size_t)desc->batch},
                        {(size_t)(WAVES * of->lanes), 1, 1}};
}

bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d, const char *unit) {
  const kernels *of = kernels_of(unit);
  return gh_attention_index(desc->size) >= 0 && desc->size <= of->most && d->info.shape == GH_SHAPE_GPU &&
         d->info.max_group >= WAVES * of->lanes && d->info.local_bytes >= of->local_bytes;
}
