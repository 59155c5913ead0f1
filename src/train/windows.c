#include "train/windows.h"
#include "train/gradients.h"

#include <stdlib.h>

/* A gradient without memory of its own, and the nodes that add to it. */
typedef struct lodger {
  int parameter, first, last;
  int64_t bytes;
} lodger;

static int by_end(const void *a, const void *b) {
  const lodger *x = a, *y = b;
  return x->last != y->last ? x->last - y->last : x->parameter - y->parameter;
}

/* ---- from the recorded step to windows ---- */

static void find_nodes(lodger *all, const gh_gradients *gradients, const gh_graph *step) {
  for (int i = 0; i < gh_graph_node_count(step); i++) {
    const gh_node *node = gh_graph_node(step, i);
    for (int o = 0; o < node->outputs; o++) {
      const int parameter = gh_gradients_find(gradients, node->out[o]);
      if (parameter < 0) continue;
      if (all[parameter].last < 0) all[parameter].first = i;
      all[parameter].last = i;
    }
  }
}

/* Those that other ranks keep, in the order of their last nodes. One that nothing adds to is there all the time. */
static gh_status list_lodgers(gh_error *err, lodger **out, int *count, const gh_graph *step, const gh_shard *shard,
                              gh_tensor *const *parameters, int64_t alignment) {
  gh_gradients gradients = {0};
  lodger *all = *out = gh_alloc(err, (size_t)GH_MAX(shard->count, 1), sizeof *all);
  gh_status status = all ? gh_gradients_list(err, &gradients, parameters, shard->count) : GH_ERROR_MEMORY;
  *count = 0;
  for (int i = 0; i < shard->count && !status; i++) {
    const int64_t bytes = gh_tensor_bytes(parameters[i]->grad);
    all[i] = (lodger){i, 0, -1, GH_CEIL_DIV(bytes, alignment) * alignment};
  }
  if (!status) find_nodes(all, &gradients, step);
  for (int i = 0; i < shard->count && !status; i++) {
    if (shard->owners[i] == shard->rank) continue;
    all[*count] = all[i];
    if (all[*count].last < 0) all[*count].last = gh_graph_node_count(step) - 1;
    (*count)++;
  }
  if (!status) qsort(all, (size_t)*count, sizeof *all, by_end);
  gh_gradients_free(&gradients);
  return status;
}

/* One to which several nodes add may stay long, and has a window of its own. */
static void group(gh_windows *w, const lodger *all, int count, int64_t least) {
  bool open = false;
  for (int i = 0; i < count; i++) {
    const lodger *l = &all[i];
    const bool alone = l->first != l->last;
    if (!open || alone) {
      w->items[w->count++] = (gh_window){.first = i, .first_node = l->first};
      open = !alone;
    }
    gh_window *window = &w->items[w->count - 1];
    window->count++;
    window->first_node = GH_MIN(window->first_node, l->first);
    window->last_node = l->last;
    window->bytes += l->bytes;
    w->order[i] = l->parameter;
    w->of[l->parameter] = w->count - 1;
    if (window->bytes >= least) open = false;
  }
}

static bool clash(const gh_window *a, const gh_window *b) {
  return a->first_node <= b->last_node && b->first_node <= a->last_node && a->offset < b->offset + b->bytes &&
         b->offset < a->offset + a->bytes;
}

/* The lowest place that no window of the same time has: an offset below the end of one that is in the way is in its
 * way, too. Returns the size of the memory. */
static int64_t place(gh_windows *w) {
  int64_t size = 0;
  for (int i = 0; i < w->count; i++) {
    gh_window *window = &w->items[i];
    for (int k = 0; k < i; k++) {
      if (!clash(window, &w->items[k])) continue;
      window->offset = w->items[k].offset + w->items[k].bytes;
      k = -1;
    }
    size = GH_MAX(size, window->offset + window->bytes);
  }
  return size;
}

/* ---- memory ---- */

static gh_status lodge(gh_error *err, gh_windows *w, gh_store *store, gh_tensor *const *parameters) {
  const int64_t alignment = w->device->info.alignment_bytes;
  gh_status status = GH_OK;
  for (int i = 0; i < w->count && !status; i++) {
    gh_window *window = &w->items[i];
    int64_t at = window->offset;
    for (int k = window->first; k < window->first + window->count && !status; k++) {
      gh_tensor *gradient = parameters[w->order[k]]->grad;
      status = gh_store_lodge(err, store, gradient, w->memory, at);
      at += GH_CEIL_DIV(gh_tensor_bytes(gradient), alignment) * alignment;
    }
    if (!status && !w->memory->unbacked)
      status = w->device->backend->bind_fill(err, w->device, w->memory->buffer, window->offset, window->bytes, 0,
                                             &window->clear);
  }
  return status;
}

gh_status gh_windows_plan(gh_error *err, gh_windows *w, gh_store *store, const gh_graph *step, const gh_shard *shard,
                          gh_tensor *const *parameters) {
  lodger *lodgers = NULL;
  int count = 0;
  *w = (gh_windows){.device = gh_graph_device(step)};
  const size_t most = (size_t)GH_MAX(shard->count, 1);
  gh_status status = list_lodgers(err, &lodgers, &count, step, shard, parameters, w->device->info.alignment_bytes);
  w->items = gh_alloc(err, most, sizeof *w->items);
  w->order = gh_alloc(err, most, sizeof *w->order);
  w->of = gh_alloc(err, most, sizeof *w->of);
  if (!status && !(w->items && w->order && w->of)) status = GH_ERROR_MEMORY;
  for (int i = 0; i < shard->count && !status; i++) w->of[i] = -1;
  if (!status && count) {
    group(w, lodgers, count, shard->window);
    const int64_t floats = place(w) / (int64_t)sizeof(float);
    status = gh_step_tensor(err, store, "grad.windows", 1, &floats, &w->memory);
    if (!status) status = lodge(err, w, store, parameters);
  }
  free(lodgers);
  return status;
}

void gh_windows_free(gh_windows *w) {
  for (int i = 0; i < w->count; i++)
    if (w->items[i].clear) w->device->backend->launch_free(w->items[i].clear);
  free(w->items);
  free(w->order);
  free(w->of);
  free(w->events);
  *w = (gh_windows){0};
}

/* ---- events ---- */

static int by_time(const void *a, const void *b) {
  const gh_window_event *x = a, *y = b;
  if (x->launches != y->launches) return x->launches - y->launches;
  return x->begins != y->begins ? x->begins - y->begins : x->window - y->window;
}

/* before (nodes + 1): how many launches belong to earlier nodes. Launches are in the order of their nodes. */
static void count_launches(int *before, const gh_graph *step) {
  const int nodes = gh_graph_node_count(step), launches = gh_graph_launch_count(step);
  int launch = 0;
  for (int n = 0; n < nodes; n++) {
    before[n] = launch;
    while (launch < launches && gh_graph_launch_note(step, launch).node == gh_graph_node(step, n)) launch++;
  }
  before[nodes] = launch;
}

gh_status gh_windows_bind(gh_error *err, gh_windows *w, const gh_graph *step) {
  if (!w->count) return GH_OK;
  int *before = gh_alloc(err, (size_t)gh_graph_node_count(step) + 1, sizeof *before);
  w->events = gh_alloc(err, 2 * (size_t)w->count, sizeof *w->events);
  if (!before || !w->events) {
    free(before);
    return GH_ERROR_MEMORY;
  }
  count_launches(before, step);
  for (int i = 0; i < w->count; i++) {
    w->events[2 * i] = (gh_window_event){before[w->items[i].first_node], i, true};
    w->events[2 * i + 1] = (gh_window_event){before[w->items[i].last_node + 1], i, false};
  }
  qsort(w->events, 2 * (size_t)w->count, sizeof *w->events, by_time);
  free(before);
  return GH_OK;
}

bool gh_windows_has(const gh_windows *w, int parameter) { return w->count && w->of[parameter] >= 0; }

int gh_windows_end(const gh_windows *w, int parameter) {
  int end = 0;
  for (int i = 0; i < 2 * w->count; i++)
    if (!w->events[i].begins && w->events[i].window == w->of[parameter]) end = w->events[i].launches;
  return end;
}
