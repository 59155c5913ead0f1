/* The memory plan: when each value is alive, and its arena and offset.
 *
 * Tensors are placed largest first, at the lowest offset that no tensor alive at the same time occupies. An arena is at
 * most one allocation of the device; a tensor that fits no arena opens a new one. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

void gh_graph_keep(gh_graph *g, gh_tensor *t) {
  (void)g;
  if (t) gh_tensor_root(t)->plan.keep = true;
}

static bool has_effect(const gh_node *node) {
  if (node->outputs == 0) return true;
  for (int i = 0; i < node->outputs; i++) {
    const gh_tensor *root = gh_tensor_root(node->out[i]);
    if (root->lifetime == GH_PERSISTENT && !(node->op->flags & GH_OP_VIEW)) return true;
    if (root->plan.keep || root->plan.last >= 0) return true;
  }
  return false;
}

/* Walks backwards: a node lives if it has a side effect or a living node reads one of its results. */
static void find_lifetimes(gh_graph *g) {
  for (int i = g->nodes.count - 1; i >= 0; i--) {
    gh_node *node = g->nodes.items[i];
    node->dead = !has_effect(node);
    if (node->dead) continue;
    for (int k = 0; k < node->inputs; k++) {
      if (!node->in[k]) continue;
      gh_tensor *root = gh_tensor_root(node->in[k]);
      root->plan.last = GH_MAX(root->plan.last, i);
    }
    for (int k = 0; k < node->outputs; k++) {
      gh_tensor *root = gh_tensor_root(node->out[k]);
      if (!(node->op->flags & GH_OP_VIEW)) root->plan.first = i;
      if (root->plan.keep) root->plan.last = g->nodes.count;
    }
    if (node->scratch) node->scratch->plan.first = node->scratch->plan.last = i;
  }
}

/* An elementwise node overwrites its first input if that dies here. */
static void share_in_place(gh_graph *g) {
  for (int i = 0; i < g->nodes.count; i++) {
    gh_node *node = g->nodes.items[i];
    if (node->dead || !(node->op->flags & GH_OP_INPLACE) || node->accumulate) continue;
    gh_tensor *in = gh_tensor_root(node->in[0]), *out = node->out[0];
    bool can = in->lifetime == GH_VALUE && out->lifetime == GH_VALUE && !out->source && in->plan.last == i &&
               !in->plan.keep && gh_tensor_bytes(in) == gh_tensor_bytes(out);
    for (int k = 1; k < node->inputs && can; k++) can = !node->in[k] || gh_tensor_root(node->in[k]) != in;
    if (!can) continue;
    in->plan.last = out->plan.last;
    in->plan.keep = out->plan.keep;
    out->source = in;
  }
}

static int by_size(const void *a, const void *b) {
  const gh_tensor *x = *(gh_tensor *const *)a, *y = *(gh_tensor *const *)b;
  int64_t dx = gh_tensor_bytes(x), dy = gh_tensor_bytes(y);
  if (dx != dy) return dx < dy ? 1 : -1;
  return x->plan.first - y->plan.first;
}

static int by_offset(const void *a, const void *b) {
  const gh_tensor *x = *(gh_tensor *const *)a, *y = *(gh_tensor *const *)b;
  return x->plan.offset < y->plan.offset ? -1 : x->plan.offset > y->plan.offset;
}

static int64_t aligned(const gh_graph *g, int64_t bytes) {
  int64_t alignment = g->device->info.alignment_bytes;
  return GH_CEIL_DIV(bytes, alignment) * alignment;
}

/* The lowest free offset for t among `placed` tensors of an arena; uses `clash` as scratch. */
static int64_t lowest_offset(const gh_graph *g, const gh_tensor *t, int arena, gh_tensor **placed, int count,
                             gh_tensor **clash) {
  int clashes = 0;
  for (int i = 0; i < count; i++) {
    const gh_tensor *p = placed[i];
    if (p->plan.arena == arena && p->plan.first <= t->plan.last && t->plan.first <= p->plan.last)
      clash[clashes++] = placed[i];
  }
  qsort(clash, (size_t)clashes, sizeof *clash, by_offset);
  int64_t offset = 0, bytes = aligned(g, gh_tensor_bytes(t));
  for (int i = 0; i < clashes && offset + bytes > clash[i]->plan.offset; i++)
    offset = GH_MAX(offset, clash[i]->plan.offset + aligned(g, gh_tensor_bytes(clash[i])));
  return offset;
}

static gh_status place(gh_error *err, gh_graph *g, gh_tensor *t, gh_tensor **placed, int count, gh_tensor **clash,
                       int64_t *arena_bytes, int *arenas) {
  int64_t bytes = aligned(g, gh_tensor_bytes(t)), limit = g->device->info.max_buffer_bytes;
  if (bytes > limit)
    return gh_fail(err, GH_ERROR_MEMORY, "%s needs %lld MiB in one piece; %s allocates at most %lld MiB", t->name,
                   (long long)(bytes >> 20), g->device->info.id, (long long)(limit >> 20));
  for (int a = 0; a <= *arenas; a++) {
    int64_t offset = lowest_offset(g, t, a, placed, count, clash);
    if (offset + bytes > limit) continue;
    t->plan.arena = a;
    t->plan.offset = offset;
    arena_bytes[a] = GH_MAX(arena_bytes[a], offset + bytes);
    if (a == *arenas) (*arenas)++;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_MEMORY, "no room for %s", t->name); /* not reached: a fresh arena is empty */
}

static gh_status create_arenas(gh_error *err, gh_graph *g, const int64_t *arena_bytes, int arenas) {
  const gh_backend *b = g->device->backend;
  for (int a = 0; a < arenas; a++) {
    gh_buffer *buffer = NULL;
    gh_status status = b->buffer_create(err, g->device, arena_bytes[a], &buffer);
    if (!status && (status = gh_list_push(err, &g->arenas, buffer))) b->buffer_free(buffer);
    if (status) return status;
  }
  return GH_OK;
}

static gh_status create_views(gh_error *err, gh_graph *g, gh_tensor **values, int count) {
  const gh_backend *b = g->device->backend;
  for (int i = 0; i < count; i++) {
    gh_tensor *t = values[i];
    gh_status status =
        b->buffer_view(err, g->device, g->arenas.items[t->plan.arena], t->plan.offset, gh_tensor_bytes(t), &t->buffer);
    if (!status && (status = gh_list_push(err, &g->views, t->buffer))) b->buffer_free(t->buffer);
    if (status) return gh_fail_in(err, "%s", t->name);
  }
  return GH_OK;
}

/* The layout of all values, computed before anything is allocated. */
typedef struct gh_layout {
  gh_tensor **values; /* (count) largest first; then as many again as scratch */
  int count, arenas;
  int64_t *arena_bytes; /* (arenas) */
} gh_layout;

static void layout_free(gh_layout *l) {
  free(l->values);
  free(l->arena_bytes);
}

/* settle: whether ops make the choices that their workspace depends on; else it counts as declared. */
static gh_status lay_out(gh_error *err, gh_graph *g, bool settle, gh_layout *l) {
  find_lifetimes(g);
  share_in_place(g);
  if (settle && gh_settle_nodes(err, g)) return err->status;
  int capacity = GH_MAX(g->tensors.count, 1);
  *l = (gh_layout){.values = gh_alloc(err, 2 * (size_t)capacity, sizeof *l->values),
                   .arena_bytes = gh_alloc(err, (size_t)capacity + 1, sizeof *l->arena_bytes)};
  gh_status status = l->values && l->arena_bytes ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < g->tensors.count && !status; i++) {
    gh_tensor *t = g->tensors.items[i];
    if (!t->source && t->plan.last >= 0) l->values[l->count++] = t;
  }
  if (!status) qsort(l->values, (size_t)l->count, sizeof *l->values, by_size);
  for (int i = 0; i < l->count && !status; i++)
    status = place(err, g, l->values[i], l->values, i, l->values + capacity, l->arena_bytes, &l->arenas);
  for (int a = 0; a < l->arenas; a++) g->peak_bytes += l->arena_bytes[a];
  return status;
}

static gh_status allocate(gh_error *err, gh_graph *g, const gh_layout *l) {
  gh_status status = create_arenas(err, g, l->arena_bytes, l->arenas);
  return status ? status : create_views(err, g, l->values, l->count);
}

int64_t gh_graph_peak_bytes(const gh_graph *g) { return g->peak_bytes; }

double gh_graph_flops(const gh_graph *g) {
  double flops = 0;
  for (int i = 0; i < g->nodes.count; i++) {
    const gh_node *node = g->nodes.items[i];
    if (node->dead || (node->op->flags & GH_OP_VIEW)) continue;
    if (node->op->flops)
      flops += node->op->flops(node);
    else if (node->outputs)
      flops += (double)gh_tensor_elements(node->out[0]);
  }
  return flops;
}

/* The node during which memory use peaks. */
static int busiest_node(const gh_graph *g) {
  int busiest = 0;
  int64_t most = -1;
  for (int at = 0; at < g->nodes.count; at++) {
    int64_t bytes = 0;
    for (int i = 0; i < g->tensors.count; i++) {
      const gh_tensor *t = g->tensors.items[i];
      if (!t->source && t->plan.first <= at && at <= t->plan.last) bytes += gh_tensor_bytes(t);
    }
    if (bytes > most) most = bytes, busiest = at;
  }
  return busiest;
}

int gh_graph_largest(const gh_graph *g, const gh_tensor **out, int capacity) {
  int at = busiest_node(g), count = 0;
  for (int i = 0; i < g->tensors.count; i++) {
    const gh_tensor *t = g->tensors.items[i];
    if (t->source || t->plan.last < 0 || t->plan.first > at || at > t->plan.last) continue;
    int place = GH_MIN(count, capacity);
    while (place > 0 && gh_tensor_bytes(out[place - 1]) < gh_tensor_bytes(t)) place--;
    if (place == capacity) continue;
    count = GH_MIN(count + 1, capacity);
    memmove(out + place + 1, out + place, (size_t)(count - place - 1) * sizeof *out);
    out[place] = t;
  }
  return count;
}

static gh_status begin_planning(gh_error *err, gh_graph *g) {
  if (gh_graph_failed(g)) return gh_fail(err, g->error.status, "%s", g->error.text);
  if (g->planned) return gh_fail(err, GH_ERROR_ARGUMENT, "the graph is already planned");
  g->planned = true;
  return GH_OK;
}

gh_status gh_graph_measure(gh_error *err, gh_graph *g) {
  gh_layout layout = {0};
  gh_status status = begin_planning(err, g);
  if (!status) status = lay_out(err, g, false, &layout);
  layout_free(&layout);
  return status;
}

gh_status gh_graph_plan(gh_error *err, gh_graph *g) {
  gh_layout layout = {0};
  gh_status status = begin_planning(err, g);
  if (!status) status = lay_out(err, g, true, &layout);
  if (!status) status = allocate(err, g, &layout);
  if (!status) status = gh_record_launches(err, g);
  layout_free(&layout);
  return status;
}
