/* Writes the text of every device program and a list of them, for compilers that need no device (tests/static/).
 *
 *   programs FOLDER      FOLDER/NAME.cl or .cu, and FOLDER/programs.tsv:
 *                        name, file, defines, options of OpenCL, options of CUDA (empty: not a program of that one)
 *
 * The tuned variants are not listed here: the table of matrix products binds itself, by each of its providers, for
 * every storage type, on devices that only record which kernel was requested; attention's table does so for each of its
 * kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"
#include "backend/chooser/gemm_internal.h"
#include "backend/embedded.h"
#include "backend/kernel_source.h"
#include "base/text.h"
#include "graph/graph.h"

#define MAX_VARIANTS 512

typedef struct variant {
  char source[64], defines[256];
  gh_dtype dtype;
  bool cpu; /* requested by a device of the CPU shape: known, but not for GPUs */
} variant;

static variant variants[MAX_VARIANTS];
static int variant_count;

/* ---- devices that record what is bound on them ---- */

static gh_status note(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid, const gh_arg *args,
                      int arg_count, gh_launch **out) {
  (void)grid, (void)args, (void)arg_count;
  *out = NULL;
  if (!id->source) return GH_OK;
  variant v = {.dtype = id->dtype, .cpu = d && d->info.shape == GH_SHAPE_CPU};
  snprintf(v.source, sizeof v.source, "%s", id->source);
  snprintf(v.defines, sizeof v.defines, "%s", id->defines ? id->defines : "");
  for (int i = 0; i < variant_count; i++)
    if (!strcmp(variants[i].source, v.source) && !strcmp(variants[i].defines, v.defines) &&
        variants[i].dtype == v.dtype && variants[i].cpu == v.cpu)
      return GH_OK;
  if (variant_count == MAX_VARIANTS) return gh_fail(err, GH_ERROR_ARGUMENT, "more than %d variants", MAX_VARIANTS);
  variants[variant_count++] = v;
  return GH_OK;
}

static gh_status library(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                         gh_buffer *c, gh_launch **out) {
  (void)err, (void)d, (void)desc, (void)a, (void)b, (void)c;
  *out = NULL;
  return GH_OK;
}

static const char *no_library(const gh_device *d) {
  (void)d;
  return NULL;
}

static const gh_backend opencl = {.name = "opencl",
                                  .bind_kernel = note,
                                  .bind_library_gemm = library,
                                  .gemm_name = no_library,
                                  .library_name = no_library};
static const gh_backend cuda = {.name = "cuda",
                                .bind_kernel = note,
                                .bind_library_gemm = library,
                                .gemm_name = no_library,
                                .library_name = no_library};

/* ---- the kernels that the tables request ---- */

typedef struct product {
  gh_dtype ab, c;
  int64_t ld;     /* the length of rows in memory decides how wide a GPU's loads may be */
  int64_t second; /* k of a second product that joins it; 0: none */
} product;

static const product products[] = {{GH_F32, GH_F32, 256, 0},   {GH_BF16, GH_F32, 256, 0}, {GH_F32, GH_BF16, 256, 0},
                                   {GH_BF16, GH_BF16, 256, 0}, {GH_F16, GH_F16, 256, 0},  {GH_F32, GH_F32, 256, 16},
                                   {GH_BF16, GH_BF16, 256, 32}};
/* Narrower loads, of the tiles that take most registers. */
static const product narrow[] = {{GH_BF16, GH_F32, 260, 0}, {GH_F32, GH_F32, 257, 0}, {GH_BF16, GH_BF16, 257, 0}};

/* Whether the provider's family has a larger tile for the product. */
static bool has_larger(const gh_gemm_provider *p, const gh_gemm_desc *desc, const gh_device *d) {
  for (const gh_gemm_provider *q = gh_gemm_providers; q->base.name; q++)
    if (!strcmp(q->base.family, p->base.family) && q->size[0] > p->size[0] && q->supports(desc, d)) return true;
  return false;
}

static gh_status ask_product(gh_error *err, gh_device *d, const gh_gemm_provider *p, const product *of, bool largest) {
  gh_status status = GH_OK;
  for (int trans = 0; trans < 4 && !status; trans++) {
    const gh_gemm_desc desc = {.m = 256,
                               .n = 256,
                               .k = 256,
                               .trans_a = trans & 1,
                               .trans_b = trans & 2,
                               .lda = of->ld,
                               .ldb = of->ld,
                               .ldc = 256,
                               .batch = 1,
                               .alpha = 1,
                               .second = {of->second, 256, 256, 1, NULL, NULL},
                               .dtype = of->ab,
                               .dtype_c = of->c};
    gh_launch *launch;
    /* providers that only apply to CPUs are not for GPUs, whatever features they need */
    if (d->info.shape == GH_SHAPE_GPU && !p->supports(&desc, d)) continue;
    if (largest && has_larger(p, &desc, d)) continue;
    if (of->second && !gh_gemm_has_second(p, &desc, d)) continue;
    status = p->bind(err, d, p, &desc, NULL, NULL, NULL, &launch);
  }
  return status ? gh_fail_in(err, "%s", p->base.name) : GH_OK;
}

/* Convolutions: kernels of 3 x 3, with weights whose rows are whole loads or not, and of 1 x 1; in both storages. */
static gh_status ask_image(gh_error *err, gh_device *d, const gh_gemm_provider *p, gh_dtype dtype) {
  static const int64_t images[][2] = {{3, 256}, {3, 3}, {1, 256}}; /* side, channels */
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(images) && !status; i++) {
    const int64_t side = images[i][0], channels = images[i][1];
    gh_gemm_desc desc = {
        .m = 256, .n = 256, .k = channels * side * side, .ldb = 256, .ldc = 256, .batch = 1, .alpha = 1};
    desc.lda = desc.k;
    desc.dtype = desc.dtype_c = dtype;
    desc.image.channels = channels;
    desc.image.height = desc.image.width = 32;
    desc.image.side = side;
    desc.image.stride = 2;
    desc.image.out_width = 16;
    gh_launch *launch;
    /* as for products: what only applies to CPUs is then known, and not for GPUs */
    if (d->info.shape == GH_SHAPE_GPU && !gh_gemm_supports(p, &desc, d)) continue;
    status = p->bind(err, d, p, &desc, NULL, NULL, NULL, &launch);
  }
  return status ? gh_fail_in(err, "%s", p->base.name) : GH_OK;
}

static gh_status ask_gemm(gh_error *err, gh_device *d) {
  gh_status status = GH_OK;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    if (!strcmp(p->base.name, GH_GEMM_COLUMNS)) continue; /* has no kernel of its own */
    if (p->convolves) {
      if (!status) status = ask_image(err, d, p, GH_F32);
      if (!status) status = ask_image(err, d, p, GH_BF16);
      continue;
    }
    for (size_t i = 0; i < GH_COUNT(products) && !status; i++) status = ask_product(err, d, p, &products[i], false);
    for (size_t i = 0; i < GH_COUNT(narrow) && !status; i++) status = ask_product(err, d, p, &narrow[i], true);
  }
  return status;
}

static gh_status ask_attention(gh_error *err, gh_device *d, const char *unit) {
  gh_status status = GH_OK;
  for (int i = 0; gh_attention_sizes[i] && unit; i++)
    for (int k = 0; k < 4 * GH_ATTENTION_PARTS && !status; k++) {
      const gh_attention_part part = (gh_attention_part)(k / 4);
      const gh_dtype dtype = k % 2 ? GH_F16 : GH_BF16;
      const int64_t hidden = k / 2 % 2 ? 255 : 0;
      const gh_attention_work work = {{part, dtype, 1, 256, 256, 1, gh_attention_sizes[i], hidden, false}, unit};
      gh_attention_kernel kernel;
      gh_launch *launch;
      if (!gh_attention_fits(&work.desc, d, unit)) continue;
      gh_attention_kernel_of(&work, NULL, &d->info, &kernel);
      status = note(err, d, &kernel.id, &kernel.grid, NULL, 0, &launch);
    }
  return status;
}

/* The kernels of a GPU's matrix unit that no product names. */
static gh_status ask_unit(gh_error *err, gh_device *d, const char *unit) {
  const gh_kernel_id lanes = {.name = "matrix_lanes", .source = "tuned_matrix_lanes", .defines = unit, .dtype = GH_F32};
  gh_launch *none;
  gh_status status = unit ? note(err, d, &lanes, NULL, NULL, 0, &none) : GH_OK;
  return status ? status : ask_attention(err, d, unit);
}

/* Adds the tuned sources that no table names (the tests' own), unchanged. */
static gh_status add_plain(gh_error *err) {
  for (const gh_embedded_file *f = gh_embedded_kernels; f->name; f++) {
    const char *end = strrchr(f->name, '.');
    if (strcmp(end, ".cu") && (strcmp(end, ".cl") || !gh_starts_with(f->name, "tuned_"))) continue;
    char source[64];
    snprintf(source, sizeof source, "%.*s", (int)(end - f->name), f->name);
    bool known = false;
    for (int i = 0; i < variant_count; i++) known = known || !strcmp(variants[i].source, source);
    gh_kernel_id id = {.source = source, .dtype = GH_F32};
    gh_launch *launch;
    gh_status status = known ? GH_OK : note(err, NULL, &id, NULL, NULL, 0, &launch);
    if (status) return status;
  }
  return GH_OK;
}

/* ---- writing ---- */

static bool is_cuda_only(const char *source) {
  char name[80];
  snprintf(name, sizeof name, "%s.cu", source);
  for (const gh_embedded_file *f = gh_embedded_kernels; f->name; f++)
    if (!strcmp(f->name, name)) return true;
  return false;
}

static gh_status write_program(gh_error *err, FILE *list, const char *folder, const char *source, const char *defines,
                               gh_dtype dtype) {
  const gh_device_info info = {.shape = GH_SHAPE_GPU, .sub_group = 32}; /* of CUDA; compile.py has those of OpenCL */
  const bool cuda_only = source && is_cuda_only(source);
  const char *base = source ? source : "kernels", *elem = gh_kernel_elem_define(dtype);
  char path[4096], options[512], *text;
  gh_status status = gh_kernel_cuda_options(err, &info, dtype, options, sizeof options);
  if (!status) status = gh_kernel_source(err, source, &text);
  if (status) return status;
  snprintf(path, sizeof path, "%s/%s.%s", folder, base, cuda_only ? "cu" : "cl");
  FILE *f = fopen(path, "w");
  size_t size = strlen(text);
  bool good = f && fwrite(text, 1, size, f) == size;
  good = f && !fclose(f) && good;
  free(text);
  if (!good) return gh_fail(err, GH_ERROR_FILE, "cannot write %s", path);
  fprintf(list, "%s %s%s%s\t%s\t%s\t", base, gh_dtype_name(dtype), *defines ? " " : "", defines, strrchr(path, '/') + 1,
          defines);
  if (!cuda_only) fprintf(list, "%s%s%s", GH_KERNEL_OPENCL_OPTIONS, *elem ? " " : "", elem);
  fprintf(list, "\t%s\n", options);
  return GH_OK;
}

static gh_status write_all(gh_error *err, const char *folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/programs.tsv", folder);
  FILE *list = fopen(path, "w");
  if (!list) return gh_fail(err, GH_ERROR_FILE, "cannot write %s", path);
  gh_status status = GH_OK;
  for (int dtype = 0; !status && dtype < GH_DTYPES; dtype++)
    for (int plain = 0; !status && plain < 2 && gh_kernel_elem_define((gh_dtype)dtype); plain++)
      status = write_program(err, list, folder, NULL, plain ? GH_PLAIN_ROWS : "", (gh_dtype)dtype);
  for (int i = 0; !status && i < variant_count; i++)
    if (!variants[i].cpu)
      status = write_program(err, list, folder, variants[i].source, variants[i].defines, variants[i].dtype);
  if (fclose(list) && !status) status = gh_fail(err, GH_ERROR_FILE, "cannot write %s", path);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: programs FOLDER\n");
    return 2;
  }
  gh_error err = {0};
  gh_status status = GH_OK;
  gh_device devices[] = {{.backend = &opencl, .info = {.id = "opencl:0", .shape = GH_SHAPE_GPU}},
                         {.backend = &opencl, .info = {.id = "opencl:1", .shape = GH_SHAPE_CPU, .is_cpu = true}},
                         {.backend = &cuda, .info = {.id = "cuda:0", .shape = GH_SHAPE_GPU}}};
  for (size_t i = 0; !status && i < GH_COUNT(devices); i++) {
    gh_device_info *info = &devices[i].info;
    info->compute_units = 64;
    info->max_group = 1024;
    info->local_bytes = 64 << 10;
    info->memory_bytes = info->max_buffer_bytes = INT64_C(16) << 30;
    status = ask_gemm(&err, &devices[i]);
    for (int unit = GH_MATRIX_NONE + 1; !status && unit <= GH_MATRIX_DPAS8 && info->shape == GH_SHAPE_GPU; unit++) {
      info->matrix = (gh_matrix_unit)unit;
      status = ask_gemm(&err, &devices[i]);
    }
  }
  for (int unit = GH_MATRIX_NONE + 1; !status && unit <= GH_MATRIX_DPAS8; unit++)
    status = ask_unit(&err, &devices[0], gh_attention_unit((gh_matrix_unit)unit));
  devices[1].info.amx = true;
  if (!status) status = ask_attention(&err, &devices[1], gh_attention_unit_of(&devices[1].info));
  if (!status) status = add_plain(&err);
  if (!status) status = write_all(&err, argv[1]);
  if (status) fprintf(stderr, "programs: %s\n", err.text);
  return status != GH_OK;
}
