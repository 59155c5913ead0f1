#include "train/ranks_local.h"

bool gh_ranks_are_local(const gh_ranks *r) { return r && r->config->sync_every > 1; }

bool gh_ranks_average_due(const gh_ranks *r, int64_t update) { return update % r->config->sync_every == 0; }

gh_status gh_ranks_keep(gh_error *err, gh_ranks *r) {
  const gh_update *u = r->update;
  gh_status status = GH_OK;
  if (!r->kept && !(r->kept = gh_alloc(err, r->buckets.values, sizeof *r->kept))) status = GH_ERROR_MEMORY;
  for (int i = 0; i < u->count && !status; i++)
    status = gh_tensor_read(err, r->device, u->parameters[i], r->kept + r->buckets.at[i]);
  return gh_comm_agree(err, r->comm, status, "the parameters to average", NULL);
}

void gh_outer_step(float *before, float *momentum, const float *average, size_t n, double lr, double mu) {
  for (size_t i = 0; i < n; i++) {
    const double change = (double)before[i] - (double)average[i];
    const double moved = mu * (double)momentum[i] + change;
    momentum[i] = (float)moved;
    before[i] = (float)((double)before[i] - lr * (change + mu * moved));
  }
}

/* The mean over ranks of what each keeps of a parameter, in r->values. A failure (*own) is kept until the others have
 * their sums. */
static gh_status mean(gh_error *err, gh_ranks *r, int parameter, gh_kept kind, gh_status *own) {
  gh_error lost = {0};
  const size_t n = (size_t)gh_tensor_elements(r->update->parameters[parameter]);
  const float ranks = (float)gh_comm_ranks(r->comm);
  if (!*own) *own = gh_update_get(err, r->update, parameter, kind, r->values);
  gh_status status = gh_comm_sum(&lost, r->comm, &(gh_sum){.values = r->values, .count = n});
  for (size_t i = 0; i < n; i++) r->values[i] /= ranks;
  if (status && !*own) *err = lost;
  return status;
}

static gh_status step_parameter(gh_error *err, gh_ranks *r, int parameter) {
  const gh_update *u = r->update;
  const size_t n = (size_t)gh_tensor_elements(u->parameters[parameter]);
  float *before = r->kept + r->buckets.at[parameter], *momentum = r->momentum;
  gh_status status = gh_update_get(err, u, parameter, GH_KEPT_OUTER, momentum);
  if (status) return status;
  gh_outer_step(before, momentum, r->values, n, r->config->outer_lr, r->config->outer_momentum);
  status = gh_update_put(err, u, parameter, GH_KEPT_OUTER, momentum);
  return status ? status : gh_update_put(err, u, parameter, GH_KEPT_PARAMETER, before);
}

static gh_status average_all(gh_error *err, gh_ranks *r) {
  const gh_update *u = r->update;
  gh_status status = GH_OK, own = GH_OK;
  for (int i = 0; i < u->count && !status; i++) {
    status = mean(err, r, i, GH_KEPT_PARAMETER, &own);
    if (!status && !own) own = step_parameter(err, r, i);
    for (int kind = GH_KEPT_M; kind <= GH_KEPT_V && !status; kind++) {
      status = mean(err, r, i, (gh_kept)kind, &own);
      if (!status && !own) own = gh_update_put(err, u, i, (gh_kept)kind, r->values);
    }
  }
  return own ? own : status;
}

gh_status gh_ranks_average(gh_error *err, gh_ranks *r, gh_status own, const gh_ranks_wish *wish) {
  unsigned flags = gh_ranks_flags(wish);
  gh_ranks_begin_wait(r);
  gh_status status = gh_comm_agree(err, r->comm, own, "the updates before an average", &flags);
  gh_ranks_take_flags(r, flags);
  if (!status) status = average_all(err, r);
  return gh_comm_agree(err, r->comm, status, "an average", NULL);
}
