#include "base/log.h"
#include "base/text.h"
#include "train/ranks_device.h"
#include "train/ranks_local.h"
#include "train/ranks_shard.h"
#include "train/ranks_wire.h"

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
  return gh_tensor_read_f32(err, device, t, values);
}

static gh_status to_device(gh_error *err, gh_device *device, gh_tensor *t, void *values) {
  return gh_tensor_write_f32(err, device, t, values);
}

/* The gradients of a bucket that stay on the device; `kept`: only of what this rank updates. */
static gh_status move_bucket(gh_error *err, const gh_ranks *r, int bucket, bool kept, transfer *move) {
  const gh_bucket *b = &r->buckets.items[bucket];
  gh_status status = GH_OK;
  for (int i = b->first; i < b->first + b->count && !status; i++) {
    const int parameter = r->buckets.order[i];
    if (kept && !gh_update_keeps(r->update, parameter)) continue;
    if (gh_windows_has(&r->update->windows, parameter)) continue;
    status = move(err, r->device, r->update->parameters[parameter]->grad, r->values + r->buckets.at[parameter]);
  }
  return status;
}

/* The gradients of a window come to the device before a micro-batch adds to them, with what earlier ones gave, and
 * leave it afterwards. */
static gh_status move_window(gh_error *err, const gh_ranks *r, const gh_window_event *event, bool first) {
  const gh_windows *w = &r->update->windows;
  const gh_window *window = &w->items[event->window];
  gh_status status = GH_OK;
  if (event->begins && first) return r->device->backend->enqueue(err, r->device, window->clear);
  for (int i = window->first; i < window->first + window->count && !status; i++) {
    gh_tensor *gradient = r->update->parameters[w->order[i]]->grad;
    float *values = r->values + r->buckets.at[w->order[i]];
    status = (event->begins ? to_device : from_device)(err, r->device, gradient, values);
  }
  return status;
}

/* The loss and the logged numbers. */
static gh_status move_numbers(gh_error *err, const gh_ranks *r, transfer *move) {
  float *at = r->values + r->buckets.values;
  gh_status status = move(err, r->device, r->loss, at++);
  for (int i = 0; i < r->update->log_count && !status; i++) status = move(err, r->device, r->update->logs[i], at++);
  return status;
}

static gh_status put_sums(gh_error *err, const gh_ranks *r, bool kept) {
  gh_status status = move_numbers(err, r, to_device);
  for (int i = 0; i < r->buckets.count && !status; i++) status = move_bucket(err, r, i, kept, to_device);
  return status;
}

/* Rank 0's values of these tensors to all. They go through `values`, which holds all parameters' gradients at once. A
 * failure to read or write waits for the last transfer: the others are in the middle of it. */
static gh_status broadcast(gh_error *err, gh_ranks *r, gh_tensor *const *tensors, int count) {
  gh_status status = GH_OK, moved = GH_OK;
  for (int i = 0; i < count && !status; i++) {
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

static gh_status prepare(gh_error *err, gh_ranks *r, const gh_step *step) {
  const size_t least = (size_t)(r->config->bucket * 1048576 / sizeof(float)) + 1;
  r->numbers = 1 + (size_t)r->update->log_count;
  gh_status status = gh_buckets_plan(err, &r->buckets, r->comm, step->graph, r->update, least);
  if (status) return status;
  const size_t ranks = (size_t)gh_comm_ranks(r->comm);
  r->values = gh_alloc(err, r->buckets.values + r->numbers, sizeof *r->values);
  r->waiting = gh_alloc(err, ranks, sizeof *r->waiting);
  r->waited = gh_alloc(err, ranks, sizeof *r->waited);
  for (size_t i = 0; r->waited && i < ranks; i++) r->waited[i] = gh_comm_waited_by(r->comm, (int)i);
  r->summed = gh_now();
  if (!r->values || !r->waiting || !r->waited) return GH_ERROR_MEMORY;
  if (r->update->shard && !(r->squares = gh_alloc(err, (size_t)r->update->count, sizeof *r->squares)))
    return GH_ERROR_MEMORY;
  if (r->update->outer && !(r->momentum = gh_alloc(err, r->buckets.values, sizeof *r->momentum)))
    return GH_ERROR_MEMORY;
  if (r->config->reduce == GH_REDUCE_FAST && !gh_comm_sums_fast(r->comm))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "distributed.reduce: %s has no sums of its own",
                   gh_comm_library(r->comm));
  return gh_reducer_create(err, &r->reducer, r->comm, r->buckets.count + 1);
}

static void report_sums(const gh_ranks *r) {
  if (gh_comm_rank(r->comm)) return;
  if (r->config->reduce == GH_REDUCE_FAST)
    gh_info("gradients are summed by %s: a rerun is not bit-identical",
            r->on_devices ? r->device->backend->group_name(r->device) : "MPI_Allreduce");
  if (gh_ranks_are_local(r))
    gh_info("local updates: parameters are averaged every %lld updates (distributed.sync_every); the losses in between "
            "are rank 0's",
            (long long)r->config->sync_every);
  if (!gh_reducer_overlaps(r->reducer) && !r->on_devices)
    gh_info("%s has no MPI_THREAD_SERIALIZED: gradients travel after the backward pass, not during it",
            gh_comm_library(r->comm));
}

gh_status gh_ranks_begin(gh_error *err, gh_ranks *r, gh_device *device, const gh_step *step, gh_update *update) {
  r->device = device;
  r->update = update;
  r->step = step->graph;
  r->loss = step->loss_total;
  gh_status status = gh_windows_bind(err, &update->windows, step->graph);
  if (!status) status = prepare(err, r, step);
  status = gh_comm_agree(err, r->comm, status, "the start of a stage", NULL);
  if (!status) status = gh_ranks_join(err, r);
  if (!status) status = gh_ranks_open_wire(err, r);
  if (!status) report_sums(r);
  if (!status) status = compare_devices(err, r);
  if (update->shard) gh_ranks_connect(r, update);
  return status;
}

gh_status gh_ranks_start(gh_error *err, gh_ranks *r, gh_status own, bool moments) {
  const gh_update *u = r->update;
  gh_status status = gh_comm_agree(err, r->comm, own, "the parameters", NULL);
  if (!status) status = broadcast(err, r, u->carried, u->carried_count);
  if (u->shard) return status ? status : gh_ranks_spread(err, r, GH_OK);
  if (!status) status = broadcast(err, r, u->parameters, u->count);
  if (!status && moments) status = broadcast(err, r, u->m, u->count);
  if (!status && moments) status = broadcast(err, r, u->v, u->count);
  if (!status && moments && u->outer) status = broadcast(err, r, u->outer, u->count);
  return status || !gh_ranks_are_local(r) ? status : gh_ranks_keep(err, r);
}

void gh_ranks_end(gh_ranks *r) {
  gh_reducer_free(r->reducer);
  gh_device_sum_free(r->wire);
  gh_buckets_free(&r->buckets);
  free(r->values);
  free(r->squares);
  free(r->kept);
  free(r->momentum);
  free(r->waiting);
  free(r->waited);
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
  memset(r->values, 0, (r->buckets.values + r->numbers) * sizeof *r->values);
  return put_sums(err, r, false);
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

double gh_ranks_begin_wait(gh_ranks *r) {
  const double updates = (double)r->config->sync_every;
  const double seconds = !r->warm ? 0 : r->rested ? updates * r->patience : 10 * updates * r->patience;
  gh_comm_patience(r->comm, seconds);
  return seconds;
}

/* What is agreed on first: whether every rank can give its gradients. */
static void begin_sums(gh_ranks *r, gh_status own, const gh_error *why, unsigned flags) {
  gh_ranks_begin_wait(r);
  gh_reducer_begin(r->reducer, own, why, "an update", flags);
  r->begun = true;
}

/* Gives a complete bucket to the reducer. Also after a failure since begin_sums, and then with anything in it: the
 * other ranks wait for it, and learn of the failure in the agreement that follows. */
static gh_status give(gh_error *err, gh_ranks *r, gh_status own) {
  const gh_bucket *b = &r->buckets.items[r->given];
  if (r->on_devices) return gh_ranks_give_on_device(err, r, own, 0);
  gh_status status = own;
  if (!status && r->wire)
    status = gh_device_sum_ready(err, r->wire, r->given);
  else if (!status)
    status = move_bucket(err, r, r->given, false, from_device);
  gh_reducer_add(r->reducer, &(gh_sum){.values = r->values + b->at,
                                       .count = b->size,
                                       .place = r->wire ? gh_device_sum_place(r->wire) : NULL,
                                       .number = r->given,
                                       .starts = b->starts,
                                       .way = gh_ranks_way(r),
                                       .scatter = b->starts != NULL});
  r->given++;
  return status;
}

/* The launches of the step until the next window begins or ends, the next bucket is complete, or the step ends. */
static int next_launches(const gh_ranks *r, int event, bool travels) {
  const gh_windows *w = &r->update->windows;
  int until = gh_graph_launch_count(r->step);
  if (event < 2 * w->count) until = GH_MIN(until, w->events[event].launches);
  if (travels && r->given < r->buckets.count) until = GH_MIN(until, r->buckets.items[r->given].launches);
  return until;
}

gh_status gh_ranks_step(gh_error *err, gh_ranks *r, bool first, bool last) {
  const gh_windows *w = &r->update->windows;
  const int launches = gh_graph_launch_count(r->step);
  const bool travels = last && r->buckets.count > 1 && (r->on_devices || gh_reducer_overlaps(r->reducer));
  if (!travels && !w->count) return gh_graph_run(err, r->step);
  if (travels && !r->on_devices) begin_sums(r, GH_OK, NULL, 0);
  gh_status status = GH_OK;
  for (int done = 0, until = 0, event = 0; done < launches && !status; done = until) {
    until = next_launches(r, event, travels);
    status = gh_graph_run_part(err, r->step, done, until - done);
    while (event < 2 * w->count && w->events[event].launches == until && !status)
      status = move_window(err, r, &w->events[event++], first);
    while (travels && r->given < r->buckets.count && r->buckets.items[r->given].launches == until && !status)
      status = give(err, r, status);
  }
  return status;
}

/* The rest of the buckets and the numbers. */
static gh_status give_rest(gh_error *err, gh_ranks *r, gh_status own) {
  gh_status status = own;
  while (r->given < r->buckets.count) status = give(err, r, status);
  if (!status) status = move_numbers(err, r, from_device);
  gh_reducer_add(r->reducer, &(gh_sum){.values = r->values + r->buckets.values, .count = r->numbers});
  return status;
}

/* What each rank said in the agreement, as a share of the time since the last one. */
static void note_waiting(gh_ranks *r) {
  const double now = gh_now(), span = now - r->summed;
  for (int i = 0; i < gh_comm_ranks(r->comm) && !gh_comm_rank(r->comm); i++) {
    const double waited = gh_comm_waited_by(r->comm, i);
    r->waiting[i] = GH_MIN(1, GH_MAX(0, (waited - r->waited[i]) / span));
    r->waited[i] = waited;
  }
  r->summed = now;
}

static unsigned flag_of(gh_status status, const gh_ranks_wish *wish) {
  return !status ? 0 : wish->load_failed ? LOAD_FAILED : FAILED;
}

static void take_flags(unsigned flags, gh_ranks_wish *wish) {
  wish->load_failed = flags & LOAD_FAILED && !(flags & FAILED);
}

/* The gradients' sums, on the devices; then those of the numbers, in r->values. *agreed: as in `sum`, or the job ends.
 */
static gh_status sum_on_devices(gh_error *err, gh_ranks *r, gh_status own, gh_ranks_wish *wish, bool *agreed) {
  gh_error lost = {0};
  gh_status status = gh_ranks_sum_on_devices(err, r, own, flag_of(own, wish));
  *agreed = status != GH_OK;
  if (*agreed) take_flags(r->agreed_flags, wish);
  r->begun = false;
  r->given = 0;
  if (status) return status;
  status = move_numbers(err, r, from_device);
  const gh_sum numbers = {.values = r->values + r->buckets.values, .count = r->numbers};
  gh_status sent = gh_comm_sum(&lost, r->comm, &numbers);
  if (!status && sent) *err = lost;
  return status ? status : sent;
}

/* All sums, in r->values. *agreed: whether the others know of a failure, if there is one. */
static gh_status sum(gh_error *err, gh_ranks *r, gh_status own, gh_ranks_wish *wish, bool *agreed) {
  const bool before = own && !r->begun; /* then no sum is made */
  gh_error failure = {0};
  unsigned flags = 0;
  gh_status status = own;
  if (!r->begun) begin_sums(r, own, err, flag_of(own, wish));
  if (!before) status = give_rest(err, r, own);
  gh_status summed = gh_reducer_wait(&failure, r->reducer, &flags);
  *agreed = summed != GH_OK;
  r->begun = false;
  r->given = 0;
  if (summed && (!status || gh_comm_agreed_failure(r->comm))) *err = failure;
  if (summed) take_flags(flags, wish);
  return summed ? err->status : status;
}

unsigned gh_ranks_flags(const gh_ranks_wish *wish) { return (wish->stop ? STOP : 0) | (wish->save ? SAVE : 0); }

void gh_ranks_take_flags(gh_ranks *r, unsigned flags) {
  note_waiting(r);
  r->stop = flags & STOP;
  r->save = flags & SAVE;
  r->warm = true;
  r->rested = !r->save;
}

gh_status gh_ranks_reduce(gh_error *err, gh_ranks *r, gh_status own, gh_ranks_wish *wish) {
  bool agreed = false;
  gh_status status = (r->on_devices ? sum_on_devices : sum)(err, r, own, wish, &agreed);
  if (agreed) return status;
  unsigned flags = gh_ranks_flags(wish) | flag_of(status, wish);
  status = gh_comm_agree(err, r->comm, status, "the sums of an update", &flags);
  take_flags(flags, wish);
  gh_ranks_take_flags(r, flags);
  if (status) return status;
  return r->on_devices || r->wire ? move_numbers(err, r, to_device) : put_sums(err, r, true);
}

gh_status gh_ranks_align(gh_error *err, gh_ranks *r) {
  const gh_update *u = r->update;
  if (!r->mixed) return GH_OK;
  gh_status status = broadcast(err, r, u->carried, u->carried_count);
  return status || u->shard ? status : broadcast(err, r, u->parameters, u->count);
}

gh_status gh_ranks_after_snapshot(gh_error *err, gh_ranks *r, gh_status own, bool *halt, bool *load_failed) {
  unsigned flags = (*halt ? HALT : 0) | (*load_failed ? LOAD_FAILED : 0);
  gh_comm_patience(r->comm, 0);
  gh_status status = gh_comm_agree(err, r->comm, own, "a snapshot", &flags);
  *halt = flags & HALT;
  *load_failed = flags & LOAD_FAILED;
  return status;
}
