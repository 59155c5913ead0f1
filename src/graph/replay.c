/* Binding every node's kernels once, and replaying them. */
#include "backend/chooser/attention.h"
#include "backend/chooser/fft.h"
#include "backend/chooser/gemm.h"
#include "base/log.h"
#include "cl/launch.h"
#include "graph/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ATTENTION_ARGS 9 /* of a part's own */

gh_device *gh_recorder_device(const gh_recorder *r) { return r->graph->device; }

static gh_status keep_launch(gh_recorder *r, gh_launch *launch, const char *name, double flops) {
  gh_recorded *recorded = gh_alloc(r->err, 1, sizeof *recorded);
  gh_status status = recorded ? gh_list_push(r->err, &r->graph->launches, recorded) : GH_ERROR_MEMORY;
  if (status) {
    r->graph->device->backend->launch_free(launch);
    free(recorded);
    return status;
  }
  snprintf(recorded->name, sizeof recorded->name, "%s", name);
  recorded->launch = launch;
  recorded->note = (gh_launch_note){r->node, recorded->name, flops};
  return GH_OK;
}

static gh_status record_id(gh_recorder *r, const gh_node *node, const gh_kernel_id *id, gh_grid grid,
                           const gh_arg *args, int count) {
  gh_launch *launch = NULL;
  gh_device *d = r->graph->device;
  if (r->choosing) return GH_OK;
  gh_status status = d->backend->bind_kernel(r->err, d, id, &grid, args, count, &launch);
  if (status) return gh_fail_in(r->err, "%s", node->op->name);
  return keep_launch(r, launch, id->name, 0);
}

gh_status gh_record_kernel_as(gh_recorder *r, const gh_node *node, gh_dtype storage, const char *kernel, gh_grid grid,
                              const gh_arg *args, int count) {
  return record_id(r, node, &(gh_kernel_id){.name = kernel, .dtype = storage}, grid, args, count);
}

gh_status gh_record_kernel(gh_recorder *r, const gh_node *node, const char *kernel, gh_grid grid, const gh_arg *args,
                           int count) {
  return gh_record_kernel_as(r, node, node->storage, kernel, grid, args, count);
}

gh_status gh_record_gemm(gh_recorder *r, const gh_gemm_desc *desc, const gh_tensor *a, const gh_tensor *b,
                         gh_tensor *c) {
  gh_launch *launch = NULL;
  char name[160] = "gemm ";
  if (r->choosing) return gh_gemm_choose(r->err, r->graph->device, desc);
  gh_status status = gh_gemm_prepare(r->err, r->graph->device, desc, gh_operand_buffer(a), &launch);
  if (!status && launch) status = keep_launch(r, launch, "prepare the weights", 0);
  if (!status)
    status = gh_gemm_bind(r->err, r->graph->device, desc, gh_operand_buffer(a), gh_operand_buffer(b),
                          gh_tensor_buffer(c), &launch);
  if (status) return status;
  gh_gemm_key(desc, name + strlen(name), sizeof name - strlen(name));
  const double depth = (double)(desc->k + desc->second.k);
  return keep_launch(r, launch, name, 2.0 * (double)desc->m * (double)desc->n * depth * (double)desc->batch);
}

gh_status gh_record_joins(gh_recorder *r, const gh_gemm_desc *desc, bool *itself) {
  return gh_gemm_joins(r->err, r->graph->device, desc, itself);
}

gh_status gh_record_convolves(gh_recorder *r, const gh_gemm_desc *desc, bool *itself) {
  return gh_gemm_convolves(r->err, r->graph->device, desc, itself);
}

gh_status gh_record_attention(gh_recorder *r, const gh_node *node, const gh_attention_desc *desc, const gh_arg *own,
                              int owns, const gh_tensor *hidden, double scale) {
  gh_launch *launch = NULL;
  gh_device *d = r->graph->device;
  gh_attention_kernel kernel;
  gh_arg args[MAX_ATTENTION_ARGS + GH_ATTENTION_SHARED_ARGS];
  bool matrix;
  char name[160];
  gh_status status = gh_attention_choose(r->err, d, desc, &matrix, &kernel);
  if (status || r->choosing) return status;
  for (int i = 0; i < owns; i++) args[i] = own[i];
  const int count = gh_attention_args(args, owns, desc, hidden ? gh_tensor_buffer(hidden) : NULL, scale, &kernel);
  status = d->backend->bind_kernel(r->err, d, &kernel.id, &kernel.grid, args, count, &launch);
  if (status) return gh_fail_in(r->err, "%s", node->op->name);
  snprintf(name, sizeof name, "%s%s", kernel.id.name, kernel.tile);
  return keep_launch(r, launch, name, 0);
}

gh_status gh_record_fft(gh_recorder *r, const gh_fft_desc *desc, const gh_tensor *from, gh_tensor *to, bool *done) {
  gh_launch *launch = NULL;
  gh_device *d = r->graph->device;
  gh_status status = gh_fft_choose(r->err, d, desc, done);
  if (status || !*done || r->choosing) return status;
  status = d->backend->bind_fft(r->err, d, desc, gh_tensor_buffer(from), gh_tensor_buffer(to), &launch);
  return status ? status : keep_launch(r, launch, "fft", 0);
}

/* A driver's fill may be single-threaded (PoCL's is): on a CPU, a kernel clears large tensors. */
static gh_status record_zero_kernel(gh_recorder *r, const gh_tensor *t) {
  const int64_t n = gh_tensor_elements(t), block = 65536;
  const gh_grid grid = {.groups = {1, (size_t)GH_CEIL_DIV(n, block), 1}, .local = {1, 1, 1}};
  return GH_RECORD_AS(r, r->node, t->dtype, "copy_rows", grid, gh_arg_tensor(t), gh_arg_tensor(NULL), gh_arg_long(1),
                      gh_arg_long(n), gh_arg_long(0), gh_arg_long(n), gh_arg_long(0), gh_arg_long(n), gh_arg_long(1),
                      gh_arg_long(block));
}

#define LARGE_FILL (INT64_C(1) << 20)

gh_status gh_record_zero(gh_recorder *r, const gh_tensor *t) {
  gh_launch *launch = NULL;
  gh_device *d = r->graph->device;
  if (d->info.shape == GH_SHAPE_CPU && t->dtype == GH_F32 && gh_tensor_bytes(t) >= LARGE_FILL)
    return record_zero_kernel(r, t);
  if (r->choosing) return GH_OK;
  const int64_t bytes = GH_CEIL_DIV(gh_tensor_bytes(t), 4) * 4; /* whole words, as the store allocates */
  gh_status status = d->backend->bind_fill(r->err, d, gh_tensor_buffer(t), 0, bytes, 0, &launch);
  return status ? status : keep_launch(r, launch, "fill", 0);
}

/* Splits the op's flop count over the node's launches from `first` on: what the GEMMs leave goes to the first other
 * one. */
static void share_flops(gh_graph *g, int first, const gh_node *node) {
  double rest = node->op->flops ? node->op->flops(node) : 0;
  gh_recorded *other = NULL;
  for (int i = first; i < g->launches.count; i++) {
    gh_recorded *recorded = g->launches.items[i];
    rest -= recorded->note.flops;
    if (!other && !(recorded->note.flops > 0)) other = recorded;
  }
  if (other && rest > 0) other->note.flops = rest;
}

static gh_status record_launches(gh_recorder *r) {
  gh_graph *g = r->graph;
  for (int i = 0; i < g->nodes.count; i++) {
    const gh_node *node = g->nodes.items[i];
    if (node->dead || (node->op->flags & GH_OP_VIEW)) continue;
    int first = g->launches.count;
    r->node = node;
    gh_status status = node->op->launch(r, node);
    if (status) return status;
    share_flops(g, first, node);
  }
  return GH_OK;
}

gh_status gh_record_launches(gh_error *err, gh_graph *g) {
  gh_recorder r = {.graph = g, .err = err};
  return record_launches(&r);
}

gh_status gh_settle_nodes(gh_error *err, gh_graph *g) {
  gh_recorder r = {.graph = g, .err = err};
  gh_status status = GH_OK;
  for (int i = 0; i < g->nodes.count && !status; i++) {
    gh_node *node = g->nodes.items[i];
    r.node = node;
    if (!node->dead && node->op->settle) status = node->op->settle(&r, node);
  }
  return status;
}

gh_status gh_graph_choose(gh_error *err, gh_graph *g) {
  gh_recorder r = {.graph = g, .err = err, .choosing = true};
  return record_launches(&r);
}

int gh_graph_launch_count(const gh_graph *g) { return g->launches.count; }

gh_launch_note gh_graph_launch_note(const gh_graph *g, int index) {
  return ((const gh_recorded *)g->launches.items[index])->note;
}

gh_status gh_graph_run_part(gh_error *err, gh_graph *g, int first, int count) {
  if (!g->planned) return gh_fail(err, GH_ERROR_ARGUMENT, "the graph is not planned");
  for (int i = first; i < first + count; i++) {
    const gh_recorded *recorded = g->launches.items[i];
    gh_status status = g->device->backend->enqueue(err, g->device, recorded->launch);
    if (status) return status;
  }
  return GH_OK;
}

/* If the backend can capture, the launches are turned into one command after the first run, when libraries have loaded
 * everything they load lazily; later runs enqueue that command. GH_CAPTURE=0 in the environment disables this, for
 * tools that look at single kernels. */
static bool wants_capture(const gh_graph *g) {
  const char *setting = getenv("GH_CAPTURE");
  return g->device->backend->capture_begin && g->launches.count > 1 && !(setting && !strcmp(setting, "0"));
}

static gh_status capture(gh_error *err, gh_graph *g) {
  const gh_backend *b = g->device->backend;
  gh_status status = b->capture_begin(err, g->device);
  if (status) return status;
  status = gh_graph_run_part(err, g, 0, g->launches.count);
  gh_status ended = b->capture_end(status ? NULL : err, g->device, status ? NULL : &g->captured);
  return status ? status : ended;
}

gh_status gh_graph_run(gh_error *err, gh_graph *g) {
  if (g->captured) return g->device->backend->enqueue(err, g->device, g->captured);
  gh_status status = gh_graph_run_part(err, g, 0, g->launches.count);
  if (status || g->has_run || !wants_capture(g)) return status;
  gh_error why = {0};
  g->has_run = true;
  if (capture(&why, g)) /* the same numbers, with more work for the host */
    gh_warn("%s: cannot capture a step: %s", g->device->info.id, why.text);
  return GH_OK;
}

/* ---- grids: the host side of cl/platform.h's three mechanisms ---- */

static int64_t group_limit(const gh_recorder *r) { return GH_MIN(r->graph->device->info.max_group, GROUP_ITEMS); }

/* The smallest power of two >= n, clamped to 32..limit. */
static size_t lanes_for(int64_t n, int64_t limit) {
  int64_t lanes = 32;
  while (lanes < n && 2 * lanes <= limit) lanes *= 2;
  return (size_t)lanes;
}

static bool cpu_shape(const gh_recorder *r) { return r->graph->device->info.shape == GH_SHAPE_CPU; }

/* In a long row a lane takes four elements before the row gets more lanes: their loads are in flight together, and a
 * sum over fewer lanes needs fewer barriers. */
#define LANE_ELEMENTS 4
#define SHORT_ROW     128

gh_grid gh_grid_rows(const gh_recorder *r, int64_t rows, int64_t columns) {
  if (cpu_shape(r)) return (gh_grid){.groups = {(size_t)rows, 1, 1}, .local = {1, 1, 1}};
  const int64_t wanted = GH_MAX(GH_MIN(columns, SHORT_ROW), GH_CEIL_DIV(columns, LANE_ELEMENTS));
  size_t limit = (size_t)group_limit(r), lanes = lanes_for(wanted, (int64_t)limit);
  size_t teams = limit / lanes;
  return (gh_grid){.groups = {GH_CEIL_DIV((size_t)rows, teams), 1, 1}, .local = {lanes, teams, 1}};
}

static int64_t piece_of(gh_dtype storage) { return PIECE_BYTES / (int64_t)gh_dtype_size(storage); }

/* A lane has two pieces of a long row: their loads are in flight together, and a sum over fewer lanes takes less. */
#define LANE_PIECES 2
#define LEAST_LANES 8

static gh_grid grid_of_pieces(const gh_recorder *r, int64_t rows, int64_t pieces) {
  const int64_t limit = group_limit(r);
  int64_t lanes = GH_MIN(LEAST_LANES, limit);
  while (lanes * LANE_PIECES < pieces && 2 * lanes <= limit) lanes *= 2;
  const size_t teams = (size_t)(limit / lanes);
  return (gh_grid){.groups = {GH_CEIL_DIV((size_t)rows, teams), 1, 1}, .local = {(size_t)lanes, teams, 1}};
}

gh_status gh_record_rows(gh_recorder *r, const gh_node *node, gh_dtype storage, const char *kernel, gh_rows of,
                         const gh_arg *args, int count) {
  gh_kernel_id id = {.name = kernel, .dtype = storage};
  const int64_t piece = piece_of(storage);
  if (!cpu_shape(r) && of.run % piece == 0)
    return record_id(r, node, &id, grid_of_pieces(r, of.rows, of.columns / piece), args, count);
  if (!cpu_shape(r)) id.defines = GH_PLAIN_ROWS;
  return record_id(r, node, &id, gh_grid_rows(r, of.rows, of.columns), args, count);
}

#define GPU_GROUPS 4096 /* enough to fill the largest device; the rest is a grid-stride loop */

gh_grid gh_grid_elements(const gh_recorder *r, int64_t elements) {
  if (cpu_shape(r))
    return (gh_grid){.groups = {(size_t)GH_CEIL_DIV(elements, ELEMENT_BLOCK), 1, 1}, .local = {1, 1, 1}};
  int64_t lanes = group_limit(r);
  return (gh_grid){.groups = {(size_t)GH_MIN(GH_CEIL_DIV(elements, lanes), GPU_GROUPS), 1, 1},
                   .local = {(size_t)lanes, 1, 1}};
}

gh_grid gh_grid_pieces(const gh_recorder *r, int64_t elements, gh_dtype storage) {
  return gh_grid_elements(r, cpu_shape(r) ? elements : GH_CEIL_DIV(elements, piece_of(storage)));
}

gh_grid gh_grid_columns(const gh_recorder *r, int64_t chunks, int64_t columns) {
  if (cpu_shape(r))
    return (gh_grid){.groups = {(size_t)GH_CEIL_DIV(columns, CPU_VECTOR), (size_t)chunks, 1}, .local = {1, 1, 1}};
  size_t lanes = lanes_for(columns, group_limit(r));
  return (gh_grid){.groups = {GH_CEIL_DIV((size_t)columns, lanes), (size_t)chunks, 1}, .local = {lanes, 1, 1}};
}
