/* The kernels of attention's parts: names, tiles and grids, and the devices on which those of the matrix units run. */
#include <stdio.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"
#include "base/text.h"
#include "cl/launch.h"

enum { WAVES = ATTENTION_MATRIX_WAVES, NARROW_WAVES = ATTENTION_NARROW_WAVES, SIZES = 4 };

const int gh_attention_sizes[SIZES + 1] = {64, 72, 80, 128, 0};

/* For each part: the number of units of a wave, and the columns of a tile. They are as large as the registers of every
 * device with the unit allow; a mask takes some. */
enum { SMALL, SMALL_MASKED, LARGE, KINDS }; /* heads up to 80, the same with a mask, heads up to 128 */
typedef struct kernels {
  const char *unit, *source; /* defines; the first selects the unit */
  int most, together;        /* the largest size of a head; and of one whose dk and dv a work-group computes together */
  int waves, lanes, rows;    /* of a work-group; of a wave; of a unit */
  int local_bytes;           /* of a work-group, at most */
  struct {
    int high, columns;
  } tiles[KINDS][GH_ATTENTION_PARTS];
} kernels;
static const kernels units[] = {
    [GH_MATRIX_MMA] = {"-DUNIT_MMA",
                       "tuned_attention_matrix",
                       128,
                       128,
                       WAVES,
                       32,
                       16,
                       36 * 1024,
                       {{{2, 32}, {2, 16}, {1, 32}}, {{2, 32}, {1, 32}, {1, 32}}, {{1, 32}, {1, 32}, {1, 16}}}},
    [GH_MATRIX_MFMA] = {"-DUNIT_MFMA",
                        "tuned_attention_columns",
                        128,
                        128,
                        WAVES,
                        64,
                        16,
                        64 * 1024,
                        {{{2, 32}, {2, 32}, {2, 32}}, {{2, 32}, {2, 32}, {2, 32}}, {{2, 32}, {2, 32}, {1, 16}}}},
    [GH_MATRIX_WMMA] = {"-DUNIT_WMMA",
                        "tuned_attention_columns",
                        128,
                        128,
                        WAVES,
                        32,
                        16,
                        64 * 1024,
                        {{{1, 32}, {1, 32}, {1, 16}}, {{1, 32}, {1, 32}, {1, 16}}, {{1, 32}, {1, 16}, {1, 16}}}},
    [GH_MATRIX_DPAS16] = {"-DUNIT_DPAS16 -cl-intel-256-GRF-per-thread",
                          "tuned_attention_columns",
                          128,
                          80,
                          WAVES,
                          16,
                          16,
                          64 * 1024,
                          {{{1, 32}, {1, 16}, {1, 16}}, {{1, 16}, {1, 16}, {1, 16}}, {{1, 16}, {1, 16}, {1, 16}}}},
    [GH_MATRIX_DPAS8] = {"-DUNIT_DPAS8 -cl-intel-256-GRF-per-thread",
                         "tuned_attention_columns",
                         128,
                         80,
                         NARROW_WAVES,
                         8,
                         8,
                         64 * 1024,
                         {{{1, 32}, {1, 16}, {1, 16}}, {{1, 16}, {1, 16}, {1, 16}}, {{1, 16}, {1, 16}, {1, 16}}}},
};

/* AMX's kernels are of the CPU's shape and have no tiles to choose. */
#define AMX "-DUNIT_AMX"

static bool is_amx(const char *defines) { return gh_starts_with(defines, AMX); }

const char *gh_attention_unit(gh_matrix_unit unit) { return (size_t)unit < GH_COUNT(units) ? units[unit].unit : NULL; }

const char *gh_attention_unit_of(const gh_device_info *info) {
  if (info->shape == GH_SHAPE_CPU) return info->amx ? AMX : NULL;
  return gh_attention_unit(info->matrix);
}

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

bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d, const char *unit) {
  if (!gh_dtype_is_narrow(desc->dtype)) return false;
  if (is_amx(unit))
    return desc->dtype == GH_BF16 && gh_attention_index(desc->size) >= 0 && d->info.is_cpu &&
           d->info.shape == GH_SHAPE_CPU;
  const kernels *of = kernels_of(unit);
  return gh_attention_index(desc->size) >= 0 && desc->size <= of->most && d->info.shape == GH_SHAPE_GPU &&
         d->info.max_group >= of->waves * of->lanes && d->info.local_bytes >= of->local_bytes;
}

gh_attention_way gh_attention_way_of(const gh_attention_work *work, const gh_device_info *info) {
  return work->unit ? GH_ATTENTION_MATRIX : info->shape == GH_SHAPE_CPU ? GH_ATTENTION_CPU : GH_ATTENTION_GPU;
}

static bool is_of_keys(const gh_attention_desc *desc) { return desc->part == GH_ATTENTION_BACKWARD_KV; }
static int64_t rows_of(const gh_attention_desc *desc) { return is_of_keys(desc) ? desc->nk : desc->nq; }
static int size_of(const gh_attention_tile *tile, int i, int usual) {
  return tile && tile->size[i] ? tile->size[i] : usual;
}

/* ---- matrix units ---- */

static int kind_of(const gh_attention_desc *desc) {
  return desc->size > 80 ? LARGE : desc->hidden ? SMALL_MASKED : SMALL;
}

/* As cl/tuned_attention_matrix.cl declares it. */
static int64_t matrix_local_bytes(const gh_attention_desc *desc, int columns, int high) {
  const int64_t pitch = 2 * GH_CEIL_DIV(desc->size, 16) + 1, rows = 16 * ATTENTION_MATRIX_WAVES * high;
  return 16 * 4 * columns * pitch + (is_of_keys(desc) ? 24 * columns + 16 * rows * pitch : 0);
}

/* Only NVIDIA's kernels have other tiles than the usual ones. */
static bool matrix_suits(const gh_attention_tile *tile, const gh_attention_work *work, const gh_device_info *info) {
  if (is_amx(work->unit)) return false;
  const kernels *of = kernels_of(work->unit);
  const gh_attention_desc *desc = &work->desc;
  const int kind = kind_of(desc), columns = of->tiles[kind][desc->part].columns,
            high = of->tiles[kind][desc->part].high;
  return of == &units[GH_MATRIX_MMA] && (tile->size[0] != columns || tile->size[1] != high) &&
         matrix_local_bytes(desc, tile->size[0], tile->size[1]) <= GH_MIN(info->local_bytes, 48 * 1024);
}

static const char *const matrix_names[GH_ATTENTION_PARTS] = {"attention_matrix_forward", "attention_matrix_backward_q",
                                                             "attention_matrix_backward_kv"};

/* Work-items own nearly equal numbers of rows, fewer if there are few heads; the result is the same. */
static void amx_kernel(const gh_attention_work *work, const gh_device_info *info, gh_attention_kernel *out) {
  const gh_attention_desc *desc = &work->desc;
  const int64_t blocks = GH_CEIL_DIV(rows_of(desc), ATTENTION_AMX_SIDE), most = ATTENTION_AMX_ROWS / ATTENTION_AMX_SIDE;
  int64_t parts = GH_CEIL_DIV(blocks, most);
  while (parts < blocks && parts * desc->heads * desc->batch < 4 * (int64_t)info->compute_units) parts++;
  out->split = (int32_t)(GH_CEIL_DIV(blocks, parts) * ATTENTION_AMX_SIDE);
  out->grid.groups[0] = (size_t)GH_CEIL_DIV(rows_of(desc), out->split);
  snprintf(out->defines, sizeof out->defines, "%s", work->unit);
  out->id = (gh_kernel_id){
      .name = matrix_names[desc->part], .source = "tuned_attention_amx", .defines = out->defines, .dtype = GH_F32};
}

static void matrix_kernel(const gh_attention_work *work, const gh_attention_tile *tile, gh_attention_kernel *out) {
  const kernels *of = kernels_of(work->unit);
  const gh_attention_desc *desc = &work->desc;
  const int kind = kind_of(desc), columns = size_of(tile, 0, of->tiles[kind][desc->part].columns),
            high = size_of(tile, 1, of->tiles[kind][desc->part].high);
  const int64_t rows = of->rows * of->waves * high;
  const bool alone = is_of_keys(desc) && desc->size > of->together;
  snprintf(out->defines, sizeof out->defines, "%s -DPART=%d -DSIZE=%d -DMI=%d -DCOLUMNS=%d%s%s%s", work->unit,
           (int)desc->part, (int)desc->size, high, columns, desc->hidden ? " -DMASKED=1" : "",
           alone ? " -DALONE=1" : "", desc->dtype == GH_F16 ? " -DAB_F16" : "");
  out->id =
      (gh_kernel_id){.name = matrix_names[desc->part], .source = of->source, .defines = out->defines, .dtype = GH_F32};
  out->grid =
      (gh_grid){{(size_t)(GH_CEIL_DIV(rows_of(desc), rows) * (1 + alone)), (size_t)desc->heads, (size_t)desc->batch},
                {(size_t)(of->waves * of->lanes), 1, 1}};
}

/* ---- the shared kernels ---- */

static int64_t most_vecs(const gh_attention_desc *desc) {
  return GH_MIN(ATTENTION_CPU_VECS, ATTENTION_CPU_PANEL / (GH_CEIL_DIV(desc->size, 8) * 8));
}

/* The forward pass's tiles end with the last key that the block sees, if later ones are hidden. So blocks of another
 * size have other tiles, and other bits. */
static bool cpu_suits(const gh_attention_tile *tile, const gh_attention_desc *desc) {
  const int vecs = tile->size[1];
  if (!vecs) return true;
  return vecs <= most_vecs(desc) && vecs <= GH_CEIL_DIV(rows_of(desc), CPU_VECTOR) &&
         (!desc->causal || desc->part != GH_ATTENTION_FORWARD);
}

/* Blocks of nearly equal size, smaller if there are few; the result is the same. */
static int64_t usual_vecs(const gh_attention_desc *desc, const gh_device_info *info) {
  const int64_t all = GH_CEIL_DIV(rows_of(desc), CPU_VECTOR);
  int64_t blocks = GH_CEIL_DIV(all, most_vecs(desc));
  while (blocks < all && blocks * desc->heads * desc->batch < 4 * (int64_t)info->compute_units) blocks++;
  return GH_CEIL_DIV(all, blocks);
}

static void cpu_kernel(const gh_attention_desc *desc, const gh_attention_tile *tile, const gh_device_info *info,
                       gh_attention_kernel *out) {
  const int64_t vecs = tile && tile->size[1] ? tile->size[1] : usual_vecs(desc, info);
  out->split = (int32_t)vecs;
  out->grid.groups[0] = (size_t)GH_CEIL_DIV(GH_CEIL_DIV(rows_of(desc), CPU_VECTOR), vecs);
  out->grid.local[0] = out->grid.local[1] = 1;
  if (tile && tile->size[0]) snprintf(out->defines, sizeof out->defines, "-DATT_ROWS=%d", tile->size[0]);
}

/* A smaller result only for heads that fit: others would compute their scores more often. */
static bool gpu_suits(const gh_attention_tile *tile, const gh_attention_desc *desc) {
  return !tile->size[2] || desc->size <= tile->size[2];
}

static void gpu_kernel(const gh_attention_desc *desc, const gh_attention_tile *tile, gh_attention_kernel *out) {
  const int columns = size_of(tile, 0, ATTENTION_GPU_TILE), rows = size_of(tile, 1, ATTENTION_GPU_TILE),
            wide = size_of(tile, 2, ATTENTION_GPU_WIDE);
  const int64_t parts = GH_CEIL_DIV(desc->size, wide);
  out->split = (int32_t)parts;
  out->grid.groups[0] = (size_t)(GH_CEIL_DIV(rows_of(desc), rows) * parts * (is_of_keys(desc) ? 2 : 1));
  out->grid.local[0] = out->grid.local[1] = ATTENTION_GPU_SIDE;
  if (columns != ATTENTION_GPU_TILE || rows != ATTENTION_GPU_TILE || wide != ATTENTION_GPU_WIDE)
    snprintf(out->defines, sizeof out->defines, "-DATG_ROWS=%d -DATG_COLUMNS=%d -DATG_WIDE=%d", rows, columns, wide);
}

/* ---- all ---- */

bool gh_attention_tile_suits(const gh_attention_tile *tile, const gh_attention_work *work, const gh_device_info *info) {
  const gh_attention_desc *desc = &work->desc;
  const gh_attention_way way = gh_attention_way_of(work, info);
  bool usual = true;
  for (int i = 0; i < GH_ATTENTION_PARAMETERS; i++) usual = usual && !tile->size[i];
  if (tile->way != way || tile->backward != (desc->part != GH_ATTENTION_FORWARD)) return false;
  return usual || (way == GH_ATTENTION_MATRIX ? matrix_suits(tile, work, info)
                   : way == GH_ATTENTION_CPU  ? cpu_suits(tile, desc)
                                              : gpu_suits(tile, desc));
}

/* What its name has after kernels and pass: "own-gpu forward columns=32". */
static const char *text_of(const gh_attention_tile *tile) {
  const char *space = tile ? strchr(tile->base.name, ' ') : NULL;
  if (space) space = strchr(space + 1, ' ');
  return space ? space : "";
}

void gh_attention_kernel_of(const gh_attention_work *work, const gh_attention_tile *tile, const gh_device_info *info,
                            gh_attention_kernel *out) {
  static const char *const names[] = {"attention_forward", "attention_backward_q", "attention_backward_kv"};
  const gh_attention_desc *desc = &work->desc;
  *out = (gh_attention_kernel){.id = {.name = names[desc->part], .dtype = desc->dtype},
                               .tile = text_of(tile),
                               .grid = {{1, (size_t)desc->heads, (size_t)desc->batch}, {1, 1, 1}}};
  const gh_attention_way way = gh_attention_way_of(work, info);
  if (way == GH_ATTENTION_MATRIX) {
    if (is_amx(work->unit))
      amx_kernel(work, info, out);
    else
      matrix_kernel(work, tile, out);
    return;
  }
  if (way == GH_ATTENTION_CPU)
    cpu_kernel(desc, tile, info, out);
  else
    gpu_kernel(desc, tile, out);
  if (*out->defines) out->id.source = "tuned_attention", out->id.defines = out->defines;
}

int gh_attention_args(gh_arg *args, int own, const gh_attention_desc *desc, const gh_buffer *hidden, double scale,
                      const gh_attention_kernel *kernel) {
  int n = own;
  args[n++] = gh_arg_buffer(hidden);
  args[n++] = gh_arg_f32(scale);
  args[n++] = gh_arg_i32(desc->causal);
  args[n++] = gh_arg_i32(desc->heads);
  if (kernel->split) args[n++] = gh_arg_i32(desc->size);
  args[n++] = gh_arg_i64(desc->nq);
  args[n++] = gh_arg_i64(desc->nk);
  args[n++] = gh_arg_i64(desc->hidden);
  if (kernel->split) args[n++] = gh_arg_i32(kernel->split);
  return n;
}
