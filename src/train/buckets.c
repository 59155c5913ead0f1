#include "train/buckets.h"
#include "train/gradients.h"

#include <stdlib.h>
#include <string.h>

typedef struct place {
  int parameter;
  int launches; /* after so many of the step, its gradient is complete */
} place;

static int by_time(const void *a, const void *b) {
  const place *x = a, *y = b;
  return x->launches != y->launches ? x->launches - y->launches : x->parameter - y->parameter;
}

/* places (by parameter) <- the last launch that writes each gradient; or, where it does not stay on the device, the one
 * after which it is read. */
static gh_status find_last(gh_error *err, place *places, const gh_update *u, const gh_graph *step) {
  gh_gradients gradients;
  gh_status status = gh_gradients_list(err, &gradients, u->parameters, u->count);
  for (int i = 0; i < u->count; i++) places[i] = (place){.parameter = i};
  for (int i = 0; i < gh_graph_launch_count(step) && !status; i++) {
    const gh_node *node = gh_graph_launch_note(step, i).node;
    for (int o = 0; o < node->outputs; o++) {
      const int parameter = gh_gradients_find(&gradients, node->out[o]);
      if (parameter >= 0) places[parameter].launches = i + 1;
    }
  }
  for (int i = 0; i < u->count; i++)
    if (gh_windows_has(&u->windows, i)) places[i].launches = gh_windows_end(&u->windows, i);
  gh_gradients_free(&gradients);
  return status;
}

static int owner_of(const gh_update *u, int parameter) { return u->shard ? u->shard->owners[parameter] : 0; }

/* Which parameters travel together: in b->order, which is rank 0's. Another rank may complete them in another order. */
static void group(gh_buckets *b, const place *by_parameter, const gh_update *u, size_t least) {
  int launches = 0;
  for (int i = 0; i < u->count; i++) {
    gh_bucket *bucket = &b->items[b->count];
    if (!bucket->count) *bucket = (gh_bucket){.first = i};
    launches = GH_MAX(launches, by_parameter[b->order[i]].launches);
    bucket->count++;
    bucket->launches = launches;
    bucket->size += (size_t)gh_tensor_elements(u->parameters[b->order[i]]);
    if (bucket->size >= least || i + 1 == u->count) b->count++;
  }
}

/* Gives the parameters of a bucket their places, owner by owner. `given`: those parameters. */
static void place_all(gh_buckets *b, gh_bucket *bucket, const int *given, const gh_update *u) {
  const int owners = u->shard ? u->shard->ranks : 1;
  int at = bucket->first;
  bucket->at = b->values;
  for (int owner = 0; owner < owners; owner++) {
    if (bucket->starts) bucket->starts[owner] = b->values - bucket->at;
    for (int i = 0; i < bucket->count; i++) {
      const int parameter = given[i];
      if (owner_of(u, parameter) != owner) continue;
      b->order[at++] = parameter;
      b->at[parameter] = b->values;
      b->values += (size_t)gh_tensor_elements(u->parameters[parameter]);
    }
  }
  if (bucket->starts) bucket->starts[owners] = b->values - bucket->at;
}

static gh_status place_buckets(gh_error *err, gh_buckets *b, const gh_update *u) {
  const size_t each = u->shard ? (size_t)u->shard->ranks + 1 : 0;
  int *given = gh_alloc(err, (size_t)u->count, sizeof *given);
  if (each) b->starts = gh_alloc(err, (size_t)b->count * each, sizeof *b->starts);
  gh_status status = given && (b->starts || !each) ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < b->count && !status; i++) {
    gh_bucket *bucket = &b->items[i];
    if (each) bucket->starts = b->starts + (size_t)i * each;
    memcpy(given, b->order + bucket->first, (size_t)bucket->count * sizeof *given);
    place_all(b, bucket, given, u);
  }
  free(given);
  return status;
}

static int by_parameter(const void *a, const void *b) {
  return ((const place *)a)->parameter - ((const place *)b)->parameter;
}

gh_status gh_buckets_plan(gh_error *err, gh_buckets *b, gh_comm *comm, const gh_graph *step, const gh_update *u,
                          size_t least) {
  const size_t count = (size_t)u->count;
  *b = (gh_buckets){0};
  b->items = gh_alloc(err, count, sizeof *b->items);
  b->order = gh_alloc(err, count, sizeof *b->order);
  b->at = gh_alloc(err, count, sizeof *b->at);
  place *places = gh_alloc(err, count, sizeof *places);
  gh_status status = b->items && b->order && b->at && places ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = find_last(err, places, u, step);
  status = gh_comm_agree(err, comm, status, "the gradients", NULL);
  if (!status) {
    qsort(places, count, sizeof *places, by_time);
    for (int i = 0; i < u->count; i++) b->order[i] = places[i].parameter;
    status = gh_comm_broadcast(err, comm, b->order, count * sizeof *b->order);
  }
  if (!status) {
    qsort(places, count, sizeof *places, by_parameter);
    group(b, places, u, least);
    status = place_buckets(err, b, u);
  }
  free(places);
  return status;
}

void gh_buckets_free(gh_buckets *b) {
  free(b->items);
  free(b->order);
  free(b->at);
  free(b->starts);
  *b = (gh_buckets){0};
}
