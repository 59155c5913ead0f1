#include "train/ranks_shard.h"

#include <stdlib.h>

/* ---- the update ---- */

static const gh_shard *shard_of(const gh_ranks *r) { return r->update->shard; }

/* The squares of this rank's gradients -> of all, on every rank: each is added to zeros. */
static gh_status share_squares(gh_error *err, gh_ranks *r, gh_status own) {
  const gh_update *u = r->update;
  gh_error lost = {0};
  gh_status status = own ? own : gh_tensor_read(err, r->device, u->squares, r->squares);
  for (int i = 0; i < u->count; i++)
    if (!gh_update_keeps(u, i)) r->squares[i] = 0;
  gh_status sent = gh_comm_sum(&lost, r->comm, &(gh_sum){.values = r->squares, .count = (size_t)u->count});
  if (status) return status;
  if (sent) *err = lost;
  return sent ? sent : gh_tensor_write(err, r->device, u->squares, r->squares);
}

gh_status gh_ranks_update(gh_error *err, gh_ranks *r) {
  gh_graph *g = r->update->graph;
  if (!shard_of(r)) return gh_graph_run(err, g);
  const int first = gh_update_first_launches(r->update), launches = gh_graph_launch_count(g);
  gh_status status = gh_graph_run_part(err, g, 0, first);
  status = share_squares(err, r, status);
  if (!status) status = gh_graph_run_part(err, g, first, launches - first);
  return gh_ranks_spread(err, r, status);
}

/* The parameters of a bucket: those that this rank keeps are read, or the others written. */
static gh_status move_parameters(gh_error *err, gh_ranks *r, const gh_bucket *b, bool kept) {
  gh_status status = GH_OK;
  for (int i = b->first; i < b->first + b->count && !status; i++) {
    const int parameter = r->buckets.order[i];
    gh_tensor *t = r->update->parameters[parameter];
    float *values = r->values + r->buckets.at[parameter];
    if (gh_update_keeps(r->update, parameter) != kept) continue;
    status = kept ? gh_tensor_read_f32(err, r->device, t, values) : gh_tensor_write_f32(err, r->device, t, values);
  }
  return status;
}

gh_status gh_ranks_spread(gh_error *err, gh_ranks *r, gh_status own) {
  gh_error lost = {0};
  gh_status status = own, sent = GH_OK;
  for (int i = 0; i < r->buckets.count && !sent; i++) {
    const gh_bucket *b = &r->buckets.items[i];
    if (!status) status = move_parameters(err, r, b, true);
    sent = gh_comm_spread(&lost, r->comm, r->values + b->at, b->starts);
    if (!status && !sent) status = move_parameters(err, r, b, false);
  }
  if (!status && sent) *err = lost;
  return status ? status : sent;
}

/* ---- rank 0 and those that serve it ---- */

typedef enum wish { WISH_END, WISH_READ, WISH_WRITE } wish;

typedef struct request {
  int32_t wish, parameter, kind;
} request;

static size_t bytes_of(const gh_ranks *r, int parameter, gh_kept kind) {
  return (size_t)gh_update_form(r->update, parameter, kind).elements * sizeof(float);
}

static gh_status ask(gh_error *err, gh_ranks *r, wish what, int parameter, gh_kept kind, int *owner) {
  const request question = {(int32_t)what, parameter, (int32_t)kind};
  *owner = shard_of(r)->owners[parameter];
  return gh_comm_send(err, r->comm, *owner, &question, sizeof question);
}

/* The owner's own result follows, before a failure makes its way through an agreement. */
static gh_status take_result(gh_error *err, gh_ranks *r, int owner, int parameter) {
  int32_t result = 0;
  gh_status status = gh_comm_receive(err, r->comm, owner, &result, sizeof result);
  if (status || !result) return status;
  return gh_fail(err, GH_ERROR_DEVICE, "rank %d on %s cannot give or take %s", owner, gh_comm_host(r->comm, owner),
                 r->update->parameters[parameter]->name);
}

static gh_status read_there(gh_error *err, void *user, int parameter, gh_kept kind, void *values) {
  gh_ranks *r = user;
  int owner;
  gh_status status = ask(err, r, WISH_READ, parameter, kind, &owner);
  if (!status) status = gh_comm_receive(err, r->comm, owner, values, bytes_of(r, parameter, kind));
  return status ? status : take_result(err, r, owner, parameter);
}

static gh_status write_there(gh_error *err, void *user, int parameter, gh_kept kind, const void *values) {
  gh_ranks *r = user;
  int owner;
  gh_status status = ask(err, r, WISH_WRITE, parameter, kind, &owner);
  if (!status) status = gh_comm_send(err, r->comm, owner, values, bytes_of(r, parameter, kind));
  return status ? status : take_result(err, r, owner, parameter);
}

void gh_ranks_connect(gh_ranks *r, gh_update *u) { u->remote = (gh_remote){read_there, write_there, r}; }

/* Answers one request. *own keeps the first failure of this rank's device. */
static gh_status answer(gh_error *err, gh_ranks *r, const request *q, gh_status *own) {
  float *values = r->values; /* holds all gradients, of which none is there between two updates */
  const gh_kept kind = (gh_kept)q->kind;
  const size_t bytes = bytes_of(r, q->parameter, kind);
  gh_error lost = {0};
  gh_status status = GH_OK, moved;
  if (q->wish == WISH_WRITE) status = gh_comm_receive(&lost, r->comm, 0, values, bytes);
  moved = q->wish == WISH_WRITE ? gh_update_put(err, r->update, q->parameter, kind, values)
                                : gh_update_get(err, r->update, q->parameter, kind, values);
  if (!*own) *own = moved;
  if (!status && q->wish == WISH_READ) status = gh_comm_send(&lost, r->comm, 0, values, bytes);
  const int32_t result = moved;
  if (!status) status = gh_comm_send(&lost, r->comm, 0, &result, sizeof result);
  if (status && !*own) *err = lost;
  return status;
}

static gh_status answer_all(gh_error *err, gh_ranks *r, double patience) {
  gh_status status = GH_OK, own = GH_OK;
  request q = {0};
  do {
    gh_comm_patience(r->comm, patience);
    status = gh_comm_receive(own ? &(gh_error){0} : err, r->comm, 0, &q, sizeof q);
    if (status || q.wish == WISH_END) break;
    status = answer(err, r, &q, &own);
  } while (!status);
  return own ? own : status;
}

gh_status gh_ranks_serve(gh_error *err, gh_ranks *r, gh_status own, double patience, gh_ranks_work *work, void *user) {
  const int ranks = r ? gh_comm_ranks(r->comm) : 1;
  const bool divided = ranks > 1 && shard_of(r), writer = !r || !gh_comm_rank(r->comm);
  const request end = {WISH_END, 0, 0};
  gh_error lost = {0};
  gh_status status = own, sent = GH_OK;
  if (divided && !writer) {
    gh_status served = answer_all(own ? &lost : err, r, patience);
    return own ? own : served;
  }
  if (divided) gh_comm_patience(r->comm, patience);
  if (!status && writer) status = work(err, user);
  for (int i = 1; i < ranks && divided && !sent; i++) sent = gh_comm_send(&lost, r->comm, i, &end, sizeof end);
  if (!status && sent) *err = lost;
  return status ? status : sent;
}
