/* Test aids: values' memory is filled with a marked NaN before a run, which exposes reads of unwritten memory; the gaps
 * between tensors are checked after it, which exposes writes past an end. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

static bool lies_in(const gh_tensor *t, int arena) { return !t->source && t->buffer && t->plan.arena == arena; }

/* The size that plan.c chose. */
static int64_t arena_bytes(const gh_graph *g, int arena) {
  int64_t bytes = 0, alignment = g->device->info.alignment_bytes;
  for (int i = 0; i < g->tensors.count; i++) {
    const gh_tensor *t = g->tensors.items[i];
    if (!lies_in(t, arena)) continue;
    bytes = GH_MAX(bytes, t->plan.offset + GH_CEIL_DIV(gh_tensor_bytes(t), alignment) * alignment);
  }
  return bytes;
}

gh_status gh_graph_poison(gh_error *err, gh_graph *g) {
  const gh_backend *b = g->device->backend;
  for (int a = 0; a < g->arenas.count; a++) {
    gh_launch *fill = NULL;
    gh_status status = b->bind_fill(err, g->device, g->arenas.items[a], 0, arena_bytes(g, a), GH_POISON, &fill);
    if (status) return status;
    status = b->enqueue(err, g->device, fill);
    if (!status) status = b->finish(err, g->device);
    b->launch_free(fill);
    if (status) return status;
  }
  return GH_OK;
}

static const char *tensor_before(const gh_graph *g, int arena, int64_t offset) {
  const gh_tensor *best = NULL;
  for (int i = 0; i < g->tensors.count; i++) {
    const gh_tensor *t = g->tensors.items[i];
    if (lies_in(t, arena) && t->plan.offset <= offset && (!best || t->plan.offset > best->plan.offset)) best = t;
  }
  return best ? best->name : "-";
}

static gh_status check_arena(gh_error *err, const gh_graph *g, int arena) {
  int64_t bytes = arena_bytes(g, arena);
  uint32_t *words = gh_alloc(err, (size_t)bytes, 1);
  if (!words) return GH_ERROR_MEMORY;
  gh_status status = g->device->backend->read(err, g->device, g->arenas.items[arena], 0, words, bytes);
  for (int i = 0; !status && i < g->tensors.count; i++) {
    const gh_tensor *t = g->tensors.items[i];
    if (!lies_in(t, arena)) continue;
    for (int64_t k = 0; k < GH_CEIL_DIV(gh_tensor_bytes(t), 4); k++) words[t->plan.offset / 4 + k] = GH_POISON;
  }
  for (int64_t k = 0; !status && k < bytes / 4; k++)
    if (words[k] != GH_POISON)
      status = gh_fail(err, GH_ERROR_DEVICE, "written past the end of %s", tensor_before(g, arena, 4 * k));
  free(words);
  return status;
}

gh_status gh_graph_check_poison(gh_error *err, const gh_graph *g) {
  for (int a = 0; a < g->arenas.count; a++) {
    gh_status status = check_arena(err, g, a);
    if (status) return status;
  }
  return GH_OK;
}
