#include "train/update.h"
#include "cl/step.h"

#include <stdlib.h>
#include <string.h>

static gh_status collect(gh_error *err, gh_store *store, gh_update *u) {
  int total = gh_store_count(store);
  u->parameters = gh_alloc(err, 3 * (size_t)total, sizeof *u->parameters);
  if (!u->parameters) return GH_ERROR_MEMORY;
  u->m = u->parameters + total;
  u->v = u->m + total;
  for (int i = 0; i < total; i++)
    if (gh_store_at(store, i)->trainable) u->parameters[u->count++] = gh_store_at(store, i);
  if (!u->count) return gh_fail(err, GH_ERROR_CONFIG, "nothing is trained");
  for (int i = 0; i < u->count; i++) {
    const gh_tensor *p = u->parameters[i];
    if (gh_step_tensor(err, store, gh_name_make("adam.m.%s", p->name).text, p->rank, p->shape, &u->m[i]) ||
        gh_step_tensor(err, store, gh_name_make("adam.v.%s", p->name).text, p->rank, p->shape, &u->v[i]))
      return err->status;
    u->m[i]->role = u->v[i]->role = GH_ROLE_MOMENT;
    u->m[i]->part = u->v[i]->part = p->part;
  }
  return GH_OK;
}

gh_status gh_update_record(gh_error *err, gh_device *device, gh_store *store, const gh_optimizer_config *o,
                           const gh_step *step, gh_update *u) {
  *u = (gh_update){0};
  gh_tensor *squares = NULL;
  gh_status status = collect(err, store, u);
  if (!status) status = gh_step_tensor(err, store, "squares", 1, (int64_t[]){u->count}, &squares);
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
  for (int i = 0; i < u->count; i++) gh_square_sum(u->graph, u->parameters[i]->grad, squares, i);
  gh_clip_control(u->graph, squares, step->loss_total, u->control, o->clip_norm);
  for (int i = 0; i < u->count; i++) {
    gh_tensor *p = u->parameters[i];
    const double decay = o->spare_vectors && p->rank < 2 ? 0 : o->weight_decay;
    const gh_adamw_options options = {o->betas[0], o->betas[1], o->eps, decay};
    gh_adamw(u->graph, p, p->grad, u->m[i], u->v[i], step->block, u->control, options);
    gh_zero(u->graph, p->grad);
  }
  gh_zero(u->graph, step->loss_total);
  if (!gh_graph_failed(u->graph)) return GH_OK;
  *err = *gh_graph_error(u->graph);
  gh_update_free(u);
  return err->status;
}

void gh_update_free(gh_update *u) {
  gh_graph_free(u->graph);
  free(u->parameters);
  *u = (gh_update){0};
}

gh_status gh_update_read(gh_error *err, gh_device *device, const gh_update *u, gh_update_result *result) {
  float words[CONTROL_WORDS];
  gh_status status = gh_tensor_read(err, device, u->control, words);
  if (status) return status;
  uint32_t bad;
  memcpy(&bad, &words[CONTROL_BAD], sizeof bad);
  *result =
      (gh_update_result){.loss = (double)words[CONTROL_LOSS], .norm = (double)words[CONTROL_NORM], .bad = bad != 0};
  for (int i = 0; i < u->log_count && !status; i++) {
    float value = 0;
    status = gh_tensor_read(err, device, u->logs[i], &value);
    result->logs[i] = (double)value;
  }
  return status;
}
