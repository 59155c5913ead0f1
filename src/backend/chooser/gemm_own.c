/* The table of GEMM providers: the project's own kernels and the vendor library. */
#include <stdio.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/core/libraries.h"
#include "backend/core/limits.h"
#include "cl/gemm_layout.h"

#define ALIGN_UP(x, to) (GH_CEIL_DIV(x, to) * (to))

/* ---- CPUs: cl/tuned_gemm_cpu.cl and, with AMX, cl/tuned_gemm_amx.cl and tuned_gemm_amx_bf16.cl, which share their
 * arguments ---- */

enum {
  STRIP = GEMM_STRIP,
  CHUNK = GEMM_CHUNK,
  MAX_ROWS = 1024,
  GROUPS_PER_CORE = 4,
  AMX_SIDE = 64,
  AMX_CHANNELS = 128,
  AMX_BF16_SIDE = 16,
  DOT_SIDE = 32
};

static const struct cpu_family {
  const char *source;
  int64_t rows[2];      /* of a tile, with wide and with narrow vectors */
  int64_t total_floats; /* capacity for a work-item's sums if C is narrow */
  bool keeps_sums;      /* if C is float32 too */
  double packing;       /* of a number of A or B, in multiply-adds that take as long */
} cpu_families[] = {{"tuned_gemm_cpu", {GEMM_CPU_ROWS, GEMM_NARROW_ROWS}, GEMM_CPU_TOTAL, false, 24},
                    {"tuned_gemm_amx", {GEMM_AMX_ROWS, GEMM_AMX_ROWS}, GEMM_AMX_TOTAL, false, 64},
                    {"tuned_gemm_amx_bf16", {GEMM_AMX_ROWS, GEMM_AMX_ROWS}, GEMM_AMX_TOTAL, true, 96}};

static const struct cpu_family *family_of(bool amx, const gh_gemm_desc *g) {
  return &cpu_families[!amx ? 0 : g->dtype == GH_F32 ? 1 : 2];
}

static bool cpu_supports(const gh_gemm_desc *g, const gh_device *d) {
  (void)g;
  return d->info.shape == GH_SHAPE_CPU;
}

static bool amx_supports(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_F32 && g->dtype_c != GH_F16 && d->info.amx && cpu_supports(g, d);
}

static bool amx_supports_bf16(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_BF16 && d->info.amx && cpu_supports(g, d);
}

#define WORTH_PACKING 0.9 /* of the time: other blocks must save more than the estimate is wrong */

/* What the blocks are chosen for. */
typedef struct cutting {
  const struct cpu_family *family;
  const gh_gemm_desc *desc;
  int64_t rows, cores; /* rows: of a tile */
  gh_gemm_blocks cut;
} cutting;

static int64_t most_rows(const cutting *c, int64_t nb) {
  return GH_MIN(c->desc->dtype_c == GH_F32 ? MAX_ROWS : INT64_MAX, c->cut.sums / nb) / c->rows * c->rows;
}

/* With few columns some cores would be idle. Then panels are narrower, and C is also split by rows. */
static void cut_for_balance(cutting *c, int64_t widest) {
  const gh_gemm_desc *g = c->desc;
  gh_gemm_blocks *cut = &c->cut;
  cut->nb = gh_split_evenly(g->n, widest, STRIP);
  for (;;) {
    const int64_t most = most_rows(c, cut->nb), wanted = c->cores * GROUPS_PER_CORE;
    int64_t across = GH_CEIL_DIV(g->n, cut->nb) * g->batch;
    int64_t down = across < wanted ? GH_CEIL_DIV(wanted, across) : 1;
    cut->mt = gh_split_evenly(g->m, GH_MAX(GH_CEIL_DIV(g->m, down), c->rows), c->rows);
    if (cut->mt >= most) cut->mt = gh_split_evenly(g->m, most, c->rows);
    bool idle = GH_CEIL_DIV(g->m, cut->mt) * across < 2 * c->cores || (cut->mt < 64 && cut->mt < g->m);
    if (!idle || cut->nb <= STRIP) return;
    cut->nb = ALIGN_UP(cut->nb / 2, STRIP);
  }
}

/* Of the core that has the most work-items, in multiply-adds, and a quarter of an item's for cores that are late. */
static double time_of(const cutting *c, int64_t mt, int64_t nb) {
  const gh_gemm_desc *g = c->desc;
  const int64_t items = GH_CEIL_DIV(g->m, mt) * GH_CEIL_DIV(g->n, nb) * g->batch;
  const double item = (double)(mt * nb) + c->family->packing * (double)(GH_MIN(mt, g->m) + nb);
  return ((double)GH_CEIL_DIV(items, c->cores) + 0.25) * item;
}

/* In a small product, packing takes as long as multiplying: each split by rows packs the panel of B again, and each
 * split by columns the block of A. Then fewer and squarer blocks are faster, although cores balance less well. */
static void cut_for_packing(cutting *c, int64_t widest) {
  const gh_gemm_desc *g = c->desc;
  double least = WORTH_PACKING * time_of(c, c->cut.mt, c->cut.nb);
  for (int64_t nb = gh_split_evenly(g->n, widest, STRIP), before = 0; nb != before; nb = ALIGN_UP(nb / 2, STRIP)) {
    const int64_t most = most_rows(c, nb), across = GH_CEIL_DIV(g->n, nb) * g->batch;
    before = nb;
    for (int64_t down = 1; down == 1 || (down - 1) * c->rows < g->m; down++) {
      const int64_t mt = gh_split_evenly(g->m, GH_MAX(GH_CEIL_DIV(g->m, down), c->rows), c->rows);
      if (mt > most) continue;
      if (time_of(c, mt, nb) < least) {
        least = time_of(c, mt, nb);
        c->cut.mt = mt;
        c->cut.nb = nb;
      }
      if (down * across >= c->cores * GROUPS_PER_CORE) break;
    }
  }
}

/* None of this changes the result's bits. */
gh_gemm_blocks gh_gemm_cpu_blocks(const int size[2], bool amx, const gh_gemm_desc *g, const gh_device_info *cpu) {
  const struct cpu_family *family = family_of(amx, g);
  cutting c = {.family = family,
               .desc = g,
               .rows = family->rows[gh_has_narrow_vectors(cpu)],
               .cores = GH_MAX(cpu->compute_units, 1)};
  c.cut.kc = gh_split_evenly(g->k, size[1], CHUNK);
  c.cut.sums = g->dtype_c == GH_F32 && !family->keeps_sums ? INT64_MAX : family->total_floats;
  cut_for_balance(&c, size[0]);
  cut_for_packing(&c, size[0]);
  return c.cut;
}

static gh_status cpu_family_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, bool amx,
                                 const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b, gh_buffer *c,
                                 gh_launch **out) {
  const gh_gemm_blocks cut = gh_gemm_cpu_blocks(provider->size, amx, g, &d->info);
  char defines[40];
  snprintf(defines, sizeof defines, "%s%s", gh_gemm_second_define(g), gh_gemm_storage_defines(g));
  gh_kernel_id id = {
      .name = gh_gemm_kernel_name(g), .source = family_of(amx, g)->source, .defines = defines, .dtype = GH_F32};
  gh_grid grid = {{(size_t)GH_CEIL_DIV(g->m, cut.mt), (size_t)GH_CEIL_DIV(g->n, cut.nb), (size_t)g->batch}, {1, 1, 1}};
  gh_arg args[32];
  int count = gh_gemm_common_args(args, g, a, b, c);
  args[count++] = gh_arg_i32(cut.mt);
  args[count++] = gh_arg_i32(cut.nb);
  args[count++] = gh_arg_i32(cut.kc);
  count += gh_gemm_second_args(args + count, g);
  return d->backend->bind_kernel(err, d, &id, &grid, args, count, out);
}

/* Convolutions without forming B: cl/conv2d_direct.cl and cl/conv2d_winograd.cl. */
static bool conv_supports(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_F32 && d->info.shape == GH_SHAPE_CPU && gh_gemm_is_plain_image(g);
}

static gh_status direct_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                             const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider;
  const gh_kernel_id id = {.name = "conv2d_direct", .dtype = GH_F32};
  const gh_grid grid = {
      {(size_t)(g->batch * GH_CEIL_DIV(g->n, DIRECT_BLOCK)), (size_t)GH_CEIL_DIV(g->m, DIRECT_OUT), 1}, {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(c),          gh_arg_buffer(b),
                         gh_arg_buffer(a),          gh_arg_buffer(g->epilogue == GH_EPILOGUE_BIAS ? g->bias : NULL),
                         gh_arg_i64(g->batch),      gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->m),          gh_arg_i32(g->image.height),
                         gh_arg_i32(g->image.width)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}

int64_t gh_gemm_prepared_elements(const gh_device *d, const gh_gemm_desc *g) {
  if (gh_dtype_is_narrow(g->dtype))
    return d->info.shape == GH_SHAPE_CPU ? gh_conv_amx_prepared(g) : gh_conv_matrix_prepared(g);
  const int64_t winograd =
      ALIGN_UP(g->m, WINOGRAD_GROUP) * ALIGN_UP(g->image.channels, WINOGRAD_CHANNELS) * WINOGRAD_ELEMENTS;
  return gh_conv_amx_supports(g, d) ? GH_MAX(winograd, gh_conv_amx_prepared(g)) : winograd;
}

/* Its vectors are tiles side by side, two columns of a row each. A row that fills less than three quarters of them, or
 * few channels, takes as long as the whole. With many channels, AMX is faster. */
static bool winograd_pays(const gh_gemm_desc *g, const gh_device *d) {
  const int64_t columns = GH_CEIL_DIV(g->image.width, 2 * CPU_VECTOR) * 2 * CPU_VECTOR;
  if (d->info.amx && GH_MIN(g->m, g->image.channels) >= AMX_CHANNELS) return false;
  return 4 * g->image.width >= 3 * columns && g->image.channels >= WINOGRAD_CHANNELS;
}

static gh_status winograd_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *g, const gh_buffer *a,
                                  gh_launch **out) {
  const int64_t rows = ALIGN_UP(g->m, WINOGRAD_GROUP);
  const gh_kernel_id id = {.name = "conv2d_winograd_weight", .dtype = GH_F32};
  const gh_grid grid = {{(size_t)rows, 1, 1}, {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(g->image.prepared),
                         gh_arg_i64(g->image.prepared_offset),
                         gh_arg_buffer(a),
                         gh_arg_i64(rows),
                         gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->m)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}

static gh_status winograd_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                               const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider;
  (void)a; /* prepared holds it in another form */
  const int64_t vectors = GH_CEIL_DIV(g->image.height, 2) * GH_CEIL_DIV(g->image.width, 2 * CPU_VECTOR);
  const gh_kernel_id id = {.name = "conv2d_winograd", .dtype = GH_F32};
  const gh_grid grid = {
      {(size_t)(g->batch * GH_CEIL_DIV(vectors, WINOGRAD_BLOCK)), (size_t)GH_CEIL_DIV(g->m, WINOGRAD_OUT), 1},
      {1, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(c),
                         gh_arg_buffer(b),
                         gh_arg_buffer(g->image.prepared),
                         gh_arg_i64(g->image.prepared_offset),
                         gh_arg_buffer(g->epilogue == GH_EPILOGUE_BIAS ? g->bias : NULL),
                         gh_arg_i64(g->batch),
                         gh_arg_i32(g->image.channels),
                         gh_arg_i32(g->m),
                         gh_arg_i32(g->image.height),
                         gh_arg_i32(g->image.width)};
  return d->backend->bind_kernel(err, d, &id, &grid, args, GH_COUNT(args), out);
}

/* Fewer channels are padded to 32, and the other kernels are faster. For bfloat16 there is no other. */
static bool conv_amx_supports(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_F32 && g->image.channels >= 16 && gh_conv_amx_supports(g, d);
}

static bool conv_amx_supports_bf16(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_BF16 && gh_conv_amx_supports(g, d);
}

static gh_status cpu_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  return cpu_family_bind(err, d, provider, false, g, a, b, c, out);
}

static gh_status amx_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  return cpu_family_bind(err, d, provider, true, g, a, b, c, out);
}

/* ---- GPUs: cl/tuned_gemm_gpu.cl ---- */

static bool gpu_supports(const gh_gemm_desc *g, const gh_device *d) {
  (void)g;
  return d->info.max_group >= GEMM_GPU_SIDE * GEMM_GPU_SIDE && d->info.local_bytes >= GEMM_GPU_LOCAL &&
         d->info.shape == GH_SHAPE_GPU;
}

static gh_status gpu_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  const int work = provider->size[0], usual = g->dtype_c == GH_F32 ? work : 4;
  const int across = provider->size[1] ? provider->size[1] : usual;
  const int64_t high = GEMM_GPU_SIDE * work, wide = GEMM_GPU_SIDE * across;
  char defines[100], image[16] = "";
  if (g->image.channels) snprintf(image, sizeof image, "-DIMAGE=%d ", (int)g->image.side);
  snprintf(defines, sizeof defines, "%s-DWORK=%d -DACROSS=%d -DWIDTH=%d %s%s", image, work, across,
           gh_gemm_load_width(g, 4), gh_gemm_second_define(g), gh_gemm_storage_defines(g));
  gh_kernel_id id = {.name = g->image.channels ? gh_conv_gpu_name(g) : gh_gemm_kernel_name(g),
                     .source = "tuned_gemm_gpu",
                     .defines = defines,
                     .dtype = GH_F32};
  gh_grid grid = {{(size_t)GH_CEIL_DIV(g->n, wide), (size_t)GH_CEIL_DIV(g->m, high), (size_t)g->batch},
                  {GEMM_GPU_SIDE, GEMM_GPU_SIDE, 1}};
  gh_arg args[32];
  int count = gh_gemm_common_args(args, g, a, b, c);
  if (g->image.channels) count += gh_conv_gpu_args(args + count, g);
  count += gh_gemm_second_args(args + count, g);
  return d->backend->bind_kernel(err, d, &id, &grid, args, count, out);
}

/* ---- the vendor library ---- */

static bool is_library(const gh_device *d, const char *name) {
  const char *its = d->backend->gemm_name(d);
  return its && !strcmp(its, name);
}

static bool clblast_supports(const gh_gemm_desc *g, const gh_device *d) {
  return g->dtype == GH_F32 && g->dtype_c == GH_F32 && is_library(d, GH_CLBLAST);
}

static bool cublaslt_supports(const gh_gemm_desc *g, const gh_device *d) {
  return (g->dtype != GH_F32 || g->dtype_c == GH_F32) && is_library(d, GH_CUBLASLT);
}

static gh_status library_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider;
  return d->backend->bind_library_gemm(err, d, g, a, b, c, out);
}

#define BIAS      (1u << GH_EPILOGUE_BIAS)
#define BIAS_GELU (1u << GH_EPILOGUE_BIAS_GELU)
#define JOINED    (BIAS | GH_GEMM_SECOND)

/* A row of a family that packs panels of B, nb x kc; it does not compile if the kernel's private memory or its limits
 * (cl/launch.h) are too small for these. `panel`: numbers of B; `width`, `depth`: nb and kc at most. */
#define FITS(nb, kc, panel, width, depth)                                                                              \
  ((nb) * (kc) <= (panel) && (nb) <= (width) && (kc) <= (depth) && (nb)*GEMM_SECOND_DEPTH <= GEMM_SECOND_PANEL)
#define PANELS(family, supports, bind, nb, kc, panel, width, depth, fuses, side, convolves)                            \
  {                                                                                                                    \
    {family " nb=" #nb " kc=" #kc, family}, supports, bind, NULL,                                                      \
        {(int)sizeof(char[FITS(nb, kc, panel, width, depth) ? (nb) : -1]), kc}, fuses, side, convolves                 \
  }
#define CPU(nb, kc) PANELS("own-cpu", cpu_supports, cpu_bind, nb, kc, GEMM_CPU_PANEL, nb, kc, JOINED, 0, false)
#define DOT(nb, kc)                                                                                                    \
  PANELS("own-dot", gh_dot_supports, gh_dot_bind, nb, kc, 2 * GEMM_DOT_PANEL, nb, kc, BIAS, DOT_SIDE, false)
#define AMX(nb, kc)                                                                                                    \
  PANELS("own-amx", amx_supports, amx_bind, nb, kc, GEMM_AMX_PANEL / 3, nb, GEMM_AMX_DEPTH, JOINED, AMX_SIDE, false)
#define AMX_BF16(nb, kc)                                                                                               \
  PANELS("own-amx-bf16", amx_supports_bf16, amx_bind, nb, kc, GEMM_AMX_PANEL, nb, GEMM_AMX_DEPTH, JOINED,              \
         AMX_BF16_SIDE, false)
#define CONV_AMX(name, supports, side)                                                                                 \
  { {name, name}, supports, gh_conv_amx_bind, gh_conv_amx_prepare, {0, 0}, BIAS, side, true }
#define CONV_GPU(work)                                                                                                 \
  {                                                                                                                    \
    {"own-conv-gpu work=" #work, "own-conv-gpu"}, gh_conv_gpu_supports_##work, gpu_bind, NULL, {work, 0}, BIAS, 0,     \
        true                                                                                                           \
  }

/* On NVIDIA the library comes first, because it uses the tensor cores. */
const gh_gemm_provider gh_gemm_providers[] = {
    {{GH_CUBLASLT, GH_CUBLASLT}, cublaslt_supports, library_bind, NULL, {0, 0}, BIAS | BIAS_GELU, 0, false},
    AMX(256, 512),
    AMX(512, 512),
    AMX(256, 1024),
    AMX(384, 512),
    AMX_BF16(256, 1024),
    AMX_BF16(384, 1024),
    AMX_BF16(512, 1024),
    AMX_BF16(768, 1024),
    {{"own-winograd", "own-winograd"}, conv_supports, winograd_bind, winograd_prepare, {0, 0}, BIAS, 0, true},
    CONV_AMX("own-conv-amx", conv_amx_supports, 16),
    CONV_AMX("own-conv-amx-bf16", conv_amx_supports_bf16, 0),
    {{"own-conv", "own-conv"}, conv_supports, direct_bind, NULL, {0, 0}, BIAS, 0, true},
    DOT(256, 256),
    DOT(256, 512),
    DOT(128, 512),
    CPU(512, 512),
    CPU(256, 1024),
    CPU(256, 512),
    CPU(256, 256),
    CPU(64, 512),
    {{"own-matrix tile=128", "own-matrix"},
     gh_matrix_supports_128,
     gh_gemm_matrix_bind,
     NULL,
     {128, 0},
     JOINED,
     16,
     false},
    {{"own-matrix tile=64", "own-matrix"},
     gh_matrix_supports_64,
     gh_gemm_matrix_bind,
     NULL,
     {64, 0},
     JOINED,
     16,
     false},
    {{"own-gpu work=4", "own-gpu"}, gpu_supports, gpu_bind, NULL, {4, 0}, JOINED, 0, false},
    {{"own-gpu work=8", "own-gpu"}, gpu_supports, gpu_bind, NULL, {8, 0}, JOINED, 0, false},
    {{"own-conv-matrix tile=128", "own-conv-matrix"},
     gh_conv_matrix_supports_128,
     gh_conv_matrix_bind,
     gh_conv_matrix_prepare,
     {128, 0},
     BIAS,
     0,
     true},
    {{"own-conv-matrix tile=64", "own-conv-matrix"},
     gh_conv_matrix_supports_64,
     gh_conv_matrix_bind,
     gh_conv_matrix_prepare,
     {64, 0},
     BIAS,
     0,
     true},
    CONV_GPU(4),
    CONV_GPU(8),
    {{GH_GEMM_COLUMNS, GH_GEMM_COLUMNS}, gh_columns_support, gh_columns_bind, NULL, {0, 0}, 0, 0, true},
    {{GH_CLBLAST, GH_CLBLAST}, clblast_supports, library_bind, NULL, {0, 0}, 0, 0, false},
    {.base = {.name = NULL}}};

bool gh_gemm_suits(const gh_gemm_provider *p, const gh_gemm_desc *g, const gh_device *d) {
  if (!gh_gemm_supports(p, g, d) || GH_MIN(g->m, GH_MIN(g->n, g->k)) < p->min_side) return false;
  return p->bind != winograd_bind || winograd_pays(g, d);
}

bool gh_gemm_saves(const char *provider) {
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    if (!strcmp(p->base.name, provider)) return p->bind == winograd_bind;
  return false;
}
