#include "train/ranks_device.h"
#include "base/log.h"
#include "train/ranks_wire.h"

/* ---- joining ---- */

/* The flags of an agreement. */
enum { CANNOT = 1, NARROW = 2 };

static unsigned abilities(const gh_ranks *r) {
  const gh_backend *b = r->device->backend;
  unsigned flags = b->group_sum && b->group_name(r->device) ? 0 : CANNOT;
  for (int i = 0; i < r->update->count; i++)
    if (r->update->parameters[i]->grad->dtype != GH_F32) flags |= NARROW;
  return flags;
}

static gh_status join(gh_error *err, gh_ranks *r) {
  const gh_backend *b = r->device->backend;
  const int rank = gh_comm_rank(r->comm), ranks = gh_comm_ranks(r->comm);
  gh_group_id id = {{0}};
  gh_status status = b->group_open(err, r->device, rank ? NULL : &id);
  status = gh_comm_agree(err, r->comm, status, "a group of devices", NULL);
  if (!status) status = gh_comm_broadcast(err, r->comm, &id, sizeof id);
  if (!status) status = gh_comm_agree(err, r->comm, b->group_join(err, r->device, &id, rank, ranks), "joining", NULL);
  return status;
}

gh_status gh_ranks_join(gh_error *err, gh_ranks *r) {
  r->on_devices = false;
  if (r->config->reduce != GH_REDUCE_FAST) return GH_OK;
  unsigned flags = abilities(r);
  gh_status status = gh_comm_agree(err, r->comm, GH_OK, "who sums", &flags);
  if (status || flags & CANNOT) return status;
  if (flags & NARROW)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "distributed.reduce: %s sums float32 only, not memory.gradients \"bfloat16\"",
                   r->device->backend->group_name(r->device));
  status = join(err, r);
  r->on_devices = !status;
  return status;
}

/* ---- sums ---- */

static gh_status agree_first(gh_error *err, gh_ranks *r, gh_status own, unsigned flags) {
  if (r->begun) return own;
  r->begun = true;
  r->agreed_flags = flags;
  gh_ranks_begin_wait(r);
  return gh_comm_agree(err, r->comm, own, "an update", &r->agreed_flags);
}

gh_status gh_ranks_give_on_device(gh_error *err, gh_ranks *r, gh_status own, unsigned flags) {
  const gh_bucket *b = &r->buckets.items[r->given];
  gh_status status = agree_first(err, r, own, flags);
  if (status) return status;
  gh_device_numbers listed;
  status = gh_ranks_list_bucket(err, r, b, &listed);
  if (!status) status = r->device->backend->group_sum(err, r->device, listed.buffers, listed.counts, b->count);
  gh_ranks_free_bucket(&listed);
  r->given++;
  return status;
}

/* The device has computed before the wait begins: what follows is for the others. */
static gh_status wait_for_all(gh_error *err, gh_ranks *r) {
  const gh_backend *b = r->device->backend;
  gh_status status = b->finish(err, r->device);
  const double began = gh_now();
  if (!status) status = b->group_wait(err, r->device, gh_ranks_begin_wait(r));
  gh_comm_count_wait(r->comm, gh_now() - began);
  return status;
}

gh_status gh_ranks_sum_on_devices(gh_error *err, gh_ranks *r, gh_status own, unsigned flags) {
  gh_status status = agree_first(err, r, own, flags);
  if (gh_comm_agreed_failure(r->comm)) return status;
  while (r->given < r->buckets.count && !status) status = gh_ranks_give_on_device(err, r, status, flags);
  if (!status) status = wait_for_all(err, r);
  if (status) gh_comm_give_up(r->comm);
  return status;
}
