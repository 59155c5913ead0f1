#include "train/update.h"
#include "base/random.h"
#include "cl/step.h"

#include <stdlib.h>
#include <string.h>

bool gh_update_keeps(const gh_update *u, int parameter) {
  return !u->shard || u->shard->owners[parameter] == u->shard->rank;
}

#define LEAST_SHORT 4096 /* elements of a parameter with 8-bit moments: biases and scales, which are few, keep all */

gh_kept_form gh_update_form(const gh_update *u, int parameter, gh_kept kind) {
  const gh_tensor *p = u->parameters[parameter];
  gh_kept_form form = {.dtype = GH_F32, .rank = p->rank, .elements = gh_tensor_elements(p)};
  memcpy(form.shape, p->shape, sizeof form.shape);
  if (!u->memory.short_moments || form.elements < LEAST_SHORT || (kind != GH_KEPT_M && kind != GH_KEPT_V)) return form;
  form = (gh_kept_form){.dtype = GH_U32, .rank = 1, .elements = gh_moment_words(form.elements)};
  form.shape[0] = form.elements;
  return form;
}

static gh_status add_kept(gh_error *err, gh_store *store, const gh_update *u, int parameter, gh_kept kind,
                          gh_tensor **out) {
  static const char *const names[GH_KEPT] = {NULL, "adam.m", "adam.v", "outer"};
  const gh_tensor *p = u->parameters[parameter];
  const gh_kept_form form = gh_update_form(u, parameter, kind);
  const gh_name name = gh_name_make("%s.%s", names[kind], p->name);
  *out = gh_store_find(store, name.text);
  gh_status (*const put_it)(gh_error *, gh_store *, const char *, gh_dtype, int, const int64_t *, gh_tensor **) =
      u->memory.offload ? gh_store_add_on_host : gh_store_add;
  gh_status status = *out ? GH_OK : put_it(err, store, name.text, form.dtype, form.rank, form.shape, out);
  if (status) return status;
  (*out)->role = GH_ROLE_MOMENT;
  (*out)->part = p->part;
  return GH_OK;
}

static gh_status collect(gh_error *err, gh_store *store, gh_update *u, bool outer) {
  int total = gh_store_count(store);
  u->parameters = gh_alloc(err, GH_KEPT * (size_t)total, sizeof *u->parameters);
  if (!u->parameters) return GH_ERROR_MEMORY;
  u->m = u->parameters + total;
  u->v = u->m + total;
  if (outer) u->outer = u->v + total;
  for (int i = 0; i < total; i++)
    if (gh_store_at(store, i)->trainable) u->parameters[u->count++] = gh_store_at(store, i);
  if (!u->count) return gh_fail(err, GH_ERROR_CONFIG, "nothing is trained");
  if (u->shard && u->shard->count != u->count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%d parameters are trained, but %d were divided among the ranks", u->count,
                   u->shard->count);
  for (int i = 0; i < u->count; i++) {
    if (!gh_update_keeps(u, i)) continue;
    gh_status status = add_kept(err, store, u, i, GH_KEPT_M, &u->m[i]);
    if (!status) status = add_kept(err, store, u, i, GH_KEPT_V, &u->v[i]);
    if (!status && outer) status = add_kept(err, store, u, i, GH_KEPT_OUTER, &u->outer[i]);
    if (status) return status;
  }
  return GH_OK;
}

/* Gradients of one type together. */
static gh_status record_squares(gh_error *err, gh_update *u) {
  static const gh_dtype types[] = {GH_F32, GH_BF16};
  gh_tensor **gradients = gh_alloc(err, (size_t)u->count, sizeof *gradients);
  int *indices = gh_alloc(err, (size_t)u->count, sizeof *indices);
  gh_status status = gradients && indices ? GH_OK : GH_ERROR_MEMORY;
  for (size_t t = 0; t < GH_COUNT(types) && !status; t++) {
    int count = 0;
    for (int i = 0; i < u->count; i++) {
      if (!gh_update_keeps(u, i) || u->parameters[i]->grad->dtype != types[t]) continue;
      gradients[count] = u->parameters[i]->grad;
      indices[count++] = i;
    }
    gh_square_sums(u->graph, gradients, indices, count, u->squares);
  }
  free(gradients);
  free(indices);
  return status;
}

gh_status gh_update_record(gh_error *err, gh_device *device, gh_store *store, const gh_optimizer_config *o,
                           const gh_step *step, gh_update *u) {
  *u = (gh_update){.device = device, .memory = step->memory, .shard = step->shard};
  gh_status status = collect(err, store, u, step->outer);
  if (!status) status = gh_step_tensor(err, store, "squares", 1, (int64_t[]){u->count}, &u->squares);
  if (!status) status = gh_step_block(err, store, "control", &u->control);
  if (!status) status = gh_graph_create(err, device, &u->graph);
  if (status) {
    gh_update_free(u);
    return status;
  }
  memcpy(u->logs, step->logs, sizeof u->logs);
  u->log_count = step->log_count;
  memcpy(u->carried, step->carried, sizeof u->carried);
  u->carried_count = step->carried_count;
  gh_graph_phase(u->graph, "update");
  status = record_squares(err, u);
  u->clip_node = gh_graph_node_count(u->graph);
  gh_clip_control(u->graph, u->squares, step->loss_total, u->control, step->loss_scale, o->clip_norm);
  if (step->loss_scale) gh_loss_scale(u->graph, u->control, step->loss_scale, step->scaling, o->betas[0], o->betas[1]);
  for (int i = 0; i < u->count; i++) {
    gh_tensor *p = u->parameters[i];
    const double decay = o->spare_vectors && p->rank < 2 ? 0 : o->weight_decay;
    const gh_stream stream = gh_stream_make(step->seed, step->stage, "update", p->name);
    const gh_adamw_options options = {o->betas[0], o->betas[1], o->eps, decay, {stream.key[0], stream.key[1]}, true};
    if (gh_update_keeps(u, i))
      gh_adamw(u->graph, p, p->grad, u->m[i], u->v[i], step->block, u->control, options);
    else if (!u->shard->gradients)
      gh_zero(u->graph, p->grad);
  }
  gh_zero(u->graph, step->loss_total);
  if (!status && gh_graph_failed(u->graph)) {
    *err = *gh_graph_error(u->graph);
    status = err->status;
  }
  if (!status && u->shard && u->shard->gradients)
    status = gh_windows_plan(err, &u->windows, store, step->graph, u->shard, u->parameters);
  if (status) gh_update_free(u);
  return status;
}

void gh_update_free(gh_update *u) {
  gh_graph_free(u->graph);
  gh_windows_free(&u->windows);
  free(u->parameters);
  *u = (gh_update){0};
}

int gh_update_first_launches(const gh_update *u) {
  const gh_node *clip = gh_graph_node(u->graph, u->clip_node);
  int launches = 0;
  while (launches < gh_graph_launch_count(u->graph) && gh_graph_launch_note(u->graph, launches).node != clip)
    launches++;
  return launches;
}

int gh_update_kinds(const gh_update *u) { return u->outer ? GH_KEPT : GH_KEPT_OUTER; }

static gh_tensor *kept(const gh_update *u, int parameter, gh_kept kind) {
  gh_tensor *const *const lists[GH_KEPT] = {u->parameters, u->m, u->v, u->outer};
  return gh_update_keeps(u, parameter) ? lists[kind][parameter] : NULL;
}

gh_status gh_update_get(gh_error *err, const gh_update *u, int parameter, gh_kept kind, void *values) {
  const gh_tensor *own = kept(u, parameter, kind), *copy = u->parameters[parameter];
  if (!own && kind == GH_KEPT_PARAMETER && !copy->unbacked) own = copy; /* the same on all ranks */
  return own ? gh_tensor_read_f32(err, u->device, own, values)
             : u->remote.read(err, u->remote.user, parameter, kind, values);
}

gh_status gh_update_put(gh_error *err, const gh_update *u, int parameter, gh_kept kind, const void *values) {
  gh_tensor *own = kept(u, parameter, kind);
  return own ? gh_tensor_write_f32(err, u->device, own, values)
             : u->remote.write(err, u->remote.user, parameter, kind, values);
}

gh_status gh_update_read(gh_error *err, gh_device *device, const gh_update *u, gh_update_result *result) {
  float words[CONTROL_WORDS];
  gh_status status = gh_tensor_read(err, device, u->control, words);
  if (status) return status;
  uint32_t bits[CONTROL_WORDS];
  memcpy(bits, words, sizeof bits);
  const bool skipped = bits[CONTROL_SKIPPED] != 0;
  *result = (gh_update_result){.loss = (double)words[CONTROL_LOSS],
                               .norm = skipped ? 0 : (double)words[CONTROL_NORM],
                               .bad = bits[CONTROL_BAD] != 0 && !skipped,
                               .scale = (double)words[CONTROL_SCALE],
                               .skips = bits[CONTROL_SKIPS]};
  for (int i = 0; i < u->log_count && !status; i++) {
    float value = 0;
    status = gh_tensor_read(err, device, u->logs[i], &value);
    result->logs[i] = (double)value;
  }
  return status;
}
