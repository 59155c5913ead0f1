#include "train/ranks.h"
#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* The flags of an agreement. */
enum { STOP = 1, SAVE = 2, HALT = 4, LOAD_FAILED = 8, FAILED = 16, OTHER_DEVICE = 32 };

int64_t gh_ranks_share(const gh_comm *comm, int64_t batch, int64_t *first) {
  const int64_t rank = gh_comm_rank(comm), ranks = gh_comm_ranks(comm);
  *first = batch * rank / ranks;
  return batch * (rank + 1) / ranks - *first;
}

/* ---- moving tensors ---- */

typedef gh_status transfer(gh_error *err, gh_device *device, gh_tensor *t, void *values);

static gh_status from_device(gh_error *err, gh_device *device, gh_tensor *t, void *values) {
  return gh_tensor_read(err, device, t, values);
}

static gh_status to_device(gh_error *err, gh_device *device, gh_tensor *t, void *values) {
  return gh_tensor_write(err, device, t, values);
}

/* Everything that is summed, in one order. */
static gh_status move_sums(gh_error *err, const gh_ranks *r, transfer *move) {
  const gh_update *u = r->update;
  float *at = r->values;
  gh_status status = GH_OK;
  for (int i = 0; i < u->count && !status; i++) {
    status = move(err, r->device, u->parameters[i]->grad, at);
    at += gh_tensor_elements(u->parameters[i]->grad);
  }
  if (!status) status = move(err, r->device, r->loss, at++);
  for (int i = 0; i < u->log_count && !status; i++) status = move(err, r->device, u->logs[i], at++);
  return status;
}

/* Rank 0's values of these tensors to all. They go through `values`, which holds all parameters' gradients at once. A
 * failure to read or write waits for the last transfer: the others are in the middle of it. */
static gh_status broadcast(gh_error *err, gh_ranks *r, gh_tensor *const *tensors) {
  gh_status status = GH_OK, moved = GH_OK;
  for (int i = 0; i < r->update->count && !status; i++) {
    gh_tensor *t = tensors[i];
    const size_t bytes = (size_t)gh_tensor_bytes(t);
    if (!moved && !gh_comm_rank(r->comm)) moved = gh_tensor_read(err, r->device, t, r->values);
    status = gh_comm_broadcast(err, r->comm, r->values, bytes);
    if (!status && !moved && gh_comm_rank(r->comm)) moved = gh_tensor_write(err, r->device, t, r->values);
  }
  return status ? status : moved;
}

/* ---- life ---- */

/* Whether all ranks compute with the same kind of device, driver and kernels. */
static gh_status compare_devices(gh_error *err, gh_ranks *r) {
  const gh_device_info *info = &r->device->info;
  char *own = gh_format(err, "%s|%s|%d", info->name, info->driver, (int)info->shape);
  char *first = own ? gh_strdup(err, own) : NULL;
  unsigned flags = 0;
  gh_status status = gh_comm_agree(err, r->comm, first ? GH_OK : GH_ERROR_MEMORY, "the devices", NULL);
  if (!status) status = gh_comm_share_text(err, r->comm, &first);
  if (!status && strcmp(own, first)) flags = OTHER_DEVICE;
  if (!status) status = gh_comm_agree(err, r->comm, GH_OK, "the kinds of devices", &flags);
  r->mixed = flags & OTHER_DEVICE;
  free(first);
  free(own);
  return status;
}

gh_status gh_ranks_begin(gh_error *err, gh_ranks *r, gh_comm *comm, gh_device *device, const gh_step *step,
                         const gh_update *update, bool moments) {
  const double patience = r->patience;
  *r = (gh_ranks){.comm = comm, .device = device, .update = update, .loss = step->loss_total, .patience = patience};
  r->count = 1 + (size_t)update->log_count;
  for (int i = 0; i < update->count; i++) r->count += (size_t)gh_tensor_elements(update->parameters[i]);
  r->values = gh_alloc(err, r->count, sizeof *r->values);
  gh_status status = gh_comm_agree(err, comm, r->values ? GH_OK : GH_ERROR_MEMORY, "the start of a stage", NULL);
  if (!status) status = compare_devices(err, r);
  if (!status) status = broadcast(err, r, update->parameters);
  if (!status && moments) status = broadcast(err, r, update->m);
  if (!status && moments) status = broadcast(err, r, update->v);
  return status;
}

void gh_ranks_end(gh_ranks *r) {
  free(r->values);
  *r = (gh_ranks){0};
}

/* ---- an update ---- */

gh_status gh_ranks_reduce(gh_error *err, gh_ranks *r, gh_status own, gh_ranks_wish *wish) {
  gh_status status = own ? own : move_sums(err, r, from_device);
  unsigned flags = (wish->stop ? STOP : 0) | (wish->save ? SAVE : 0);
  if (status) flags |= wish->load_failed ? LOAD_FAILED : FAILED;
  gh_comm_patience(r->comm, !r->warm ? 0 : r->rested ? r->patience : 10 * r->patience);
  status = gh_comm_agree(err, r->comm, status, "an update", &flags);
  wish->load_failed = flags & LOAD_FAILED && !(flags & FAILED);
  r->stop = flags & STOP;
  r->save = flags & SAVE;
  if (!status) status = gh_comm_sum(err, r->comm, r->values, r->count);
  if (!status) status = move_sums(err, r, to_device);
  r->warm = true;
  r->rested = !r->save;
  return status;
}

gh_status gh_ranks_align(gh_error *err, gh_ranks *r) {
  return r->mixed ? broadcast(err, r, r->update->parameters) : GH_OK;
}

gh_status gh_ranks_after_snapshot(gh_error *err, gh_ranks *r, gh_status own, bool *halt) {
  unsigned flags = *halt ? HALT : 0;
  gh_comm_patience(r->comm, 0);
  gh_status status = gh_comm_agree(err, r->comm, own, "a snapshot", &flags);
  *halt = flags & HALT;
  return status;
}
