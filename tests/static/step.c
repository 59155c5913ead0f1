/* Lists the launches of a training step on a GPU that is not there, for tests/static/predict.py.
 *
 *   step ARCH STAGE PRECISION BATCH UNIT [KEY=VALUE ...]     UNIT: none, mma, mfma, wmma, dpas16 or dpas8
 *
 * One line per launch, tab-separated: "launch", phase, op, kernel (of a product: its key), source, defines, storage,
 * work-groups (3), work-items per group (3), flops, bytes of the buffers that it names, the first input's shape. After
 * a product, one line for each provider that could compute it: "candidate", its name, kernel, source, defines, storage,
 * work-groups (3), work-items per group (3). The last line: "memory", bytes.
 *
 * The step is recorded and planned on a device that only records what is bound. Nothing is allocated, compiled or run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"
#include "backend/chooser/gemm_internal.h"
#include "backend/chooser/internal.h"
#include "base/array.h"
#include "base/text.h"
#include "bench/step.h"

/* ---- a device that records ---- */

struct gh_buffer {
  int64_t bytes;
};

struct gh_launch {
  int nothing;
};

typedef struct bound {
  char kernel[64], source[64], defines[256], provider[64];
  const char *storage;
  gh_grid grid;
  double bytes;
  bool candidate;
} bound;

static bound *all;
static size_t count, capacity;
static gh_launch token;

static gh_status new_buffer(gh_error *err, int64_t bytes, gh_buffer **out) {
  *out = gh_alloc(err, 1, sizeof **out);
  if (!*out) return GH_ERROR_MEMORY;
  (*out)->bytes = bytes;
  return GH_OK;
}
static gh_status buffer_create(gh_error *err, gh_device *d, int64_t bytes, gh_buffer **out) {
  (void)d;
  return new_buffer(err, bytes, out);
}
static gh_status buffer_view(gh_error *err, gh_device *d, gh_buffer *parent, int64_t offset, int64_t bytes,
                             gh_buffer **out) {
  (void)d, (void)parent, (void)offset;
  return new_buffer(err, bytes, out);
}
static void buffer_free(gh_buffer *buffer) { free(buffer); }
static int64_t buffer_bytes(const gh_buffer *buffer) { return buffer->bytes; }
static void launch_free(gh_launch *launch) { (void)launch; }
static const char *no_library(const gh_device *d) {
  (void)d;
  return NULL;
}

static gh_status add(gh_error *err, const bound *one, gh_launch **out) {
  if (GH_ARRAY_RESERVE(err, all, capacity, count, 1)) return GH_ERROR_MEMORY;
  all[count++] = *one;
  *out = &token;
  return GH_OK;
}

/* The bytes of every buffer among the arguments, each once. */
static double bytes_of(const gh_arg *args, int n) {
  double bytes = 0;
  for (int i = 0; i < n; i++) {
    bool seen = args[i].kind != GH_ARG_BUFFER || !args[i].value.buffer;
    for (int k = 0; k < i && !seen; k++)
      seen = args[k].kind == GH_ARG_BUFFER && args[k].value.buffer == args[i].value.buffer;
    if (!seen) bytes += (double)args[i].value.buffer->bytes;
  }
  return bytes;
}

static const char *provider_bound; /* NULL: an op's own kernel */

static gh_status bind_kernel(gh_error *err, gh_device *d, const gh_kernel_id *id, const gh_grid *grid,
                             const gh_arg *args, int n, gh_launch **out) {
  (void)d;
  bound one = {.storage = gh_dtype_name(id->dtype), .grid = *grid, .candidate = provider_bound != NULL};
  snprintf(one.kernel, sizeof one.kernel, "%s", id->name);
  snprintf(one.source, sizeof one.source, "%s", id->source ? id->source : "kernels");
  snprintf(one.defines, sizeof one.defines, "%s", id->defines ? id->defines : "");
  snprintf(one.provider, sizeof one.provider, "%s", provider_bound ? provider_bound : "");
  if (!one.candidate) one.bytes = bytes_of(args, n);
  return add(err, &one, out);
}

static gh_status bind_fill(gh_error *err, gh_device *d, gh_buffer *to, int64_t offset, int64_t bytes, uint32_t word,
                           gh_launch **out) {
  (void)d, (void)to, (void)offset, (void)word;
  return add(err, &(bound){.kernel = "fill", .storage = "", .bytes = (double)bytes}, out);
}

static const gh_backend recorder = {.name = "opencl",
                                    .buffer_create = buffer_create,
                                    .host_buffer_create = buffer_create,
                                    .buffer_view = buffer_view,
                                    .buffer_free = buffer_free,
                                    .buffer_bytes = buffer_bytes,
                                    .bind_kernel = bind_kernel,
                                    .bind_fill = bind_fill,
                                    .launch_free = launch_free,
                                    .gemm_name = no_library,
                                    .fft_name = no_library,
                                    .library_name = no_library};

/* ---- products: one provider that stands for all ---- */

static bool any(const gh_gemm_desc *desc, const gh_device *d) { return desc && d; }

static double gemm_bytes(const gh_gemm_desc *g) {
  const double in = (double)gh_dtype_size(g->dtype), out = (double)gh_dtype_size(g->dtype_c);
  const double one = in * (double)(g->m * g->k + g->k * g->n) + out * (double)(g->m * g->n) * (g->beta != 0 ? 2 : 1);
  return one * (double)g->batch;
}

static double image_bytes(const gh_gemm_desc *g) {
  const double image = (double)(g->image.channels * g->image.height * g->image.width);
  const double weights = (double)g->m * (double)(g->trans_b ? g->n : g->k);
  const double out = (double)g->m * (double)gh_gemm_image_positions(g);
  return 4 * (weights + (double)g->batch * (image + out));
}

static gh_status bind_all(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider;
  gh_status status = add(
      err, &(bound){.kernel = "gemm", .storage = "", .bytes = g->image.channels ? image_bytes(g) : gemm_bytes(g)}, out);
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name && !status; p++) {
    if (!strcmp(p->base.name, GH_GEMM_COLUMNS) || !gh_gemm_supports(p, g, d) ||
        GH_MIN(g->m, GH_MIN(g->n, g->k)) < p->min_side)
      continue;
    provider_bound = p->base.name;
    status = p->bind(err, d, p, g, a, b, c, out);
    provider_bound = NULL;
  }
  return status;
}

#define EVERY(name, convolves)                                                                                         \
  { {name, name}, any, bind_all, NULL, {0, 0}, 1u << GH_EPILOGUE_BIAS, 0, convolves }
static const gh_gemm_provider every = EVERY("every", false), every_image = EVERY("every image", true);

/* Attention's kernels pass every check: there is no device that could fail one. */
static gh_status choose_all(gh_error *err, gh_device *d) {
  gh_status status = gh_choice_plant(err, d, &gh_gemm_kind, &every.base);
  if (!status) status = gh_choice_plant(err, d, &gh_gemm_kind, &every_image.base);
  if (!status) status = gh_choice_force(err, d, &gh_gemm_kind, "every");
  gh_choice_state *products = status ? NULL : gh_choice_state_get(err, d, &gh_gemm_kind);
  gh_choice_state *state = products ? gh_choice_state_get(err, d, &gh_attention_kind) : NULL;
  if (!state) return err->status;
  products->forced[1] = &every_image.base; /* the one for convolutions */
  memset(state->verdicts, 1, sizeof state->verdicts);
  return GH_OK;
}

/* ---- the graphs ---- */

static int64_t memory;

/* Gives a tensor of the step's store, which has no memory, a buffer that has none. */
static gh_status back(gh_error *err, gh_tensor *t) {
  while (t && t->source) t = t->source;
  if (!t || t->buffer || t->lifetime != GH_PERSISTENT) return GH_OK;
  memory += gh_tensor_bytes(t);
  gh_status status = new_buffer(err, gh_tensor_bytes(t), &t->buffer);
  if (!status) status = back(err, t->working);
  return status ? status : back(err, t->grad);
}

static void print_launch(const bound *b, const char *first, const char *name) {
  const size_t *g = b->grid.groups, *l = b->grid.local;
  printf("%s\t%s\t%s\t%s\t%s\t%zu\t%zu\t%zu\t%zu\t%zu\t%zu", first, name, b->source, b->defines, b->storage, g[0], g[1],
         g[2], l[0], l[1], l[2]);
}

static gh_status see(gh_error *err, void *user, const gh_graph *graph) {
  (void)user;
  gh_status status = GH_OK;
  for (int i = 0; i < gh_graph_node_count(graph) && !status; i++) {
    const gh_node *node = gh_graph_node(graph, i);
    for (int k = 0; k < node->inputs && !status; k++) status = back(err, node->in[k]);
    for (int k = 0; k < node->outputs && !status; k++) status = back(err, node->out[k]);
  }
  count = 0;
  if (!status) status = gh_graph_plan(err, (gh_graph *)graph);
  memory += gh_graph_peak_bytes(graph);
  int launch = -1;
  for (size_t i = 0; i < count && !status; i++) {
    if (all[i].candidate) {
      char first[100];
      snprintf(first, sizeof first, "candidate\t%s", all[i].provider);
      print_launch(&all[i], first, all[i].kernel);
      printf("\n");
      continue;
    }
    const gh_launch_note note = gh_graph_launch_note(graph, ++launch);
    const gh_tensor *in = note.node->inputs ? note.node->in[0] : NULL;
    char first[200], shape[64] = "";
    if (in) gh_shape_text(shape, sizeof shape, in->rank, in->shape);
    snprintf(first, sizeof first, "launch\t%s\t%s", note.node->phase ? note.node->phase : "other", note.node->op->name);
    print_launch(&all[i], first, note.name);
    printf("\t%.17g\t%.17g\t%s\n", note.flops, all[i].bytes, shape);
  }
  return status;
}

static const char *const units[] = {
    [GH_MATRIX_NONE] = "none", [GH_MATRIX_MMA] = "mma",       [GH_MATRIX_MFMA] = "mfma",
    [GH_MATRIX_WMMA] = "wmma", [GH_MATRIX_DPAS16] = "dpas16", [GH_MATRIX_DPAS8] = "dpas8"};

static gh_status list(gh_error *err, int argc, char **argv) {
  gh_bench_options options = {.arch = argv[1], .stage = atoi(argv[2]), .batch = atoi(argv[4])};
  gh_device device = {.backend = &recorder, .info = {.id = "opencl:0", .shape = GH_SHAPE_GPU}};
  gh_device_info *info = &device.info;
  info->compute_units = 64;
  info->max_group = 1024;
  info->local_bytes = 64 << 10;
  info->alignment_bytes = 512;
  info->memory_bytes = info->max_buffer_bytes = INT64_C(1) << 50;
  size_t unit = 0;
  while (unit < GH_COUNT(units) && strcmp(units[unit], argv[5])) unit++;
  if (unit == GH_COUNT(units)) return gh_fail(err, GH_ERROR_ARGUMENT, "there is no unit %s", argv[5]);
  info->matrix = (gh_matrix_unit)unit;
  gh_status status = gh_precision_find(err, "PRECISION", argv[3], &options.precision);
  for (int i = 6; i < argc && !status; i++) status = gh_strings_add(err, &options.sets, argv[i]);
  if (!status) status = choose_all(err, &device);
  if (!status) status = gh_bench_record(err, &device, &options, see, NULL);
  if (!status) printf("memory\t%lld\n", (long long)memory);
  gh_choices_free(device.choices);
  gh_strings_free(&options.sets);
  free(all);
  return status;
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: step ARCH STAGE PRECISION BATCH UNIT [KEY=VALUE ...]\n");
    return 2;
  }
  gh_error err = {0};
  gh_status status = list(&err, argc, argv);
  if (status) fprintf(stderr, "step: %s\n", err.text);
  return status != GH_OK;
}
