#include "train/ranks.h"
#include "base/log.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The flags of an agreement. */
enum { STOP = 1, SAVE = 2, HALT = 4, LOAD_FAILED = 8, FAILED = 16, OTHER_DEVICE = 32 };

int64_t gh_ranks_share(const gh_ranks *r, int64_t batch, int64_t *first) {
  const int64_t rank = r ? gh_comm_rank(r->comm) : 0, ranks = r ? gh_comm_ranks(r->comm) : 1;
  *first = batch * rank / ranks;
  if (!r || !r->shares) return batch * (rank + 1) / ranks - *first;
  *first = 0;
  for (int64_t i = 0; i < rank; i++) *first += r->shares[i];
  return r->shares[rank];
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
  free(r->shares);
  *r = (gh_ranks){0};
}

/* ---- dividing the batch ---- */

/* Sample by sample, to the rank that would have done it first. A micro-batch takes as long when it is not full. */
void gh_ranks_divide(int64_t *shares, const double *seconds, const int64_t *micro, int ranks, int64_t batch) {
  for (int i = 0; i < ranks; i++) shares[i] = 1;
  for (int64_t given = ranks; given < batch; given++) {
    int best = 0;
    double least = 0;
    for (int i = 0; i < ranks; i++) {
      double end = seconds[i] * (double)GH_CEIL_DIV(shares[i] + 1, micro[i]);
      if (i && end >= least) continue;
      best = i;
      least = end;
    }
    shares[best]++;
  }
}

#define MEASURED_RUNS    5
#define MEASURED_SECONDS 2.0 /* fewer runs where they take longer */

/* Seconds per micro-batch: the least of some runs, after one that may compile. */
static gh_status measure(gh_error *err, gh_ranks *r, gh_graph *step, double *seconds) {
  const double started = gh_now();
  *seconds = 0;
  for (int i = 0; i <= MEASURED_RUNS && (i < 2 || gh_now() - started < MEASURED_SECONDS); i++) {
    const double began = gh_now();
    gh_status status = gh_graph_run(err, step);
    if (!status) status = r->device->backend->finish(err, r->device);
    if (status) return status;
    const double took = gh_now() - began;
    if (i == 1 || (i && took < *seconds)) *seconds = took;
  }
  memset(r->values, 0, r->count * sizeof *r->values);
  return move_sums(err, r, to_device);
}

/* Rank 0: from every rank's "SECONDS MICRO_BATCH". */
static gh_status divide(gh_error *err, gh_ranks *r, char *const *texts, int64_t batch) {
  const int ranks = gh_comm_ranks(r->comm);
  double *seconds = gh_alloc(err, (size_t)ranks, sizeof *seconds);
  int64_t *micro = gh_alloc(err, (size_t)ranks, sizeof *micro);
  gh_status status = seconds && micro ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < ranks && !status; i++) {
    long long samples = 0;
    if (sscanf(texts[i], "%lf %lld", &seconds[i], &samples) != 2 || !(seconds[i] > 0) || samples < 1)
      status = gh_fail(err, GH_ERROR_DEVICE, "rank %d measured \"%.60s\"", i, texts[i]);
    micro[i] = samples;
  }
  if (!status) gh_ranks_divide(r->shares, seconds, micro, ranks, batch);
  free(micro);
  free(seconds);
  return status;
}

/* What rank 0 finds is in its r->shares. */
static gh_status find_shares(gh_error *err, gh_ranks *r, gh_graph *step, int64_t batch, int64_t micro_batch) {
  char own[64] = "";
  double seconds = 0;
  const int ranks = gh_comm_ranks(r->comm);
  char **texts = gh_alloc(err, (size_t)ranks, sizeof *texts);
  gh_status status = texts ? measure(err, r, step, &seconds) : GH_ERROR_MEMORY;
  snprintf(own, sizeof own, "%.9g %lld", seconds, (long long)micro_batch);
  status = gh_comm_agree(err, r->comm, status, "the speeds", NULL);
  if (!status) status = gh_comm_gather_text(err, r->comm, own, texts);
  if (!status && !gh_comm_rank(r->comm)) status = divide(err, r, texts, batch);
  for (int i = 0; texts && i < ranks; i++) free(texts[i]);
  free(texts);
  return status;
}

/* Whether an earlier plan's shares fit: of as many ranks, and the same batch. */
static bool take_shares(gh_ranks *r, const gh_json *earlier, int64_t batch) {
  gh_error ignored;
  int64_t sum = 0;
  int ranks = 0;
  const gh_json *list = gh_json_member(earlier, "shares");
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item), ranks++) {
    if (ranks == gh_comm_ranks(r->comm) || gh_json_to_int(&ignored, item, "shares", &r->shares[ranks]) ||
        r->shares[ranks] < 1 || r->shares[ranks] > batch)
      return false;
    sum += r->shares[ranks];
  }
  return ranks == gh_comm_ranks(r->comm) && sum == batch;
}

static void report_shares(const gh_ranks *r, bool kept) {
  char text[256] = "";
  size_t used = 0;
  for (int i = 0; i < gh_comm_ranks(r->comm) && used < sizeof text; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? ", " : "", (long long)r->shares[i]);
  gh_info("samples of each update by rank%s: %s", kept ? ", as before" : ", by measured speed", text);
}

gh_status gh_ranks_split(gh_error *err, gh_ranks *r, gh_graph *step, int64_t batch, int64_t micro_batch,
                         const gh_json *earlier, gh_json *plan) {
  const size_t ranks = (size_t)gh_comm_ranks(r->comm);
  gh_status status = (r->shares = gh_alloc(err, ranks, sizeof *r->shares)) ? GH_OK : GH_ERROR_MEMORY;
  const bool kept = !status && take_shares(r, earlier, batch);
  status = gh_comm_agree(err, r->comm, status, "dividing the batch", NULL);
  if (!status && !kept) status = find_shares(err, r, step, batch, micro_batch);
  status = gh_comm_agree(err, r->comm, status, "the shares", NULL);
  if (!status) status = gh_comm_broadcast(err, r->comm, r->shares, ranks * sizeof *r->shares);
  if (!status) status = gh_json_put_ints(err, plan, "shares", r->shares, ranks);
  if (!status) report_shares(r, kept);
  return status;
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
