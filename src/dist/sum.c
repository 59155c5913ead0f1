/* Sums over ranks. Each number is added by one rank, which its part belongs to, in the order of ranks. */
#include "base/half.h"
#include "dist/comm_internal.h"

#include <stdlib.h>
#include <string.h>

#define BUCKET ((size_t)4 << 20) /* floats per exchange */

/* A piece of a sum's numbers: [base, base + count) of them, the `index`-th. */
typedef struct piece {
  gh_comm *c;
  const gh_sum *sum;
  float *values; /* (count) */
  size_t base, count;
  int index;
  size_t first, own; /* this rank's part: [first, first + own) */
  const char *what;
  /* What travels, as float32 or bfloat16. */
  size_t word;
  char *wire;           /* (count): `values` itself, or rounded */
  char *parts;          /* (ranks, stride): every rank's numbers of this rank's part */
  size_t stride;        /* (own at most) */
  gh_message *messages; /* (2 ranks) */
} piece;

size_t gh_sum_piece(const gh_sum *sum) { return GH_MIN(sum->count, BUCKET); }

size_t gh_sum_part(const gh_sum *sum, int ranks, int rank, size_t base, size_t count, size_t *first) {
  const size_t n = (size_t)ranks, r = (size_t)rank, *starts = sum->starts;
  *first = count * r / n;
  if (!starts) return count * (r + 1) / n - *first;
  const size_t from = GH_MAX(starts[r], base), to = GH_MIN(starts[r + 1], base + count);
  *first = from < to ? from - base : 0;
  return from < to ? to - from : 0;
}

static size_t part_of(const piece *p, int rank, size_t *first) {
  return gh_sum_part(p->sum, p->c->ranks, rank, p->base, p->count, first);
}

/* ---- in the host's memory ---- */

static bool rounds(const piece *p) { return p->word == sizeof(uint16_t); }

static void narrow(const piece *p, size_t first, size_t count) {
  uint16_t *to = (uint16_t *)(void *)p->wire;
  for (size_t i = first; i < first + count; i++) to[i] = gh_f32_to_bf16(p->values[i]);
}

static gh_status gather_on_host(const piece *p) {
  if (rounds(p)) narrow(p, 0, p->count);
  memcpy(p->parts + (size_t)p->c->rank * p->stride * p->word, p->wire + p->first * p->word, p->own * p->word);
  return GH_OK;
}

/* In the order of ranks, from 0 on. */
static gh_status add_on_host(const piece *p) {
  float *added = p->values + p->first;
  for (int k = 0; k < p->c->ranks; k++) {
    const char *part = p->parts + (size_t)k * p->stride * p->word;
    const float *floats = (const float *)(const void *)part;
    const uint16_t *rounded = (const uint16_t *)(const void *)part;
    if (rounds(p))
      for (size_t i = 0; i < p->own; i++) added[i] = (k ? added[i] : 0) + gh_bf16_to_f32(rounded[i]);
    else
      for (size_t i = 0; i < p->own; i++) added[i] = (k ? added[i] : 0) + floats[i];
  }
  if (rounds(p) && !p->sum->scatter) narrow(p, p->first, p->own);
  return GH_OK;
}

/* The owner, too, gets the rounded sums. */
static gh_status scatter_on_host(const piece *p) {
  const uint16_t *from = (const uint16_t *)(const void *)p->wire;
  for (size_t i = 0; i < p->count && rounds(p); i++) p->values[i] = gh_bf16_to_f32(from[i]);
  return GH_OK;
}

/* ---- messages ---- */

/* The rank that comes k after this one: each sends to another one first. */
static int after(const gh_comm *c, int k) { return (c->rank + k) % c->ranks; }

/* Sends every rank the numbers of its part, and receives those of this rank's. */
static gh_status exchange_parts(gh_error *err, const piece *p) {
  gh_comm *c = p->c;
  size_t at;
  gh_status status = GH_OK;
  int n = 0;
  for (int k = 1; k < c->ranks && p->own && !status; k++) {
    const int from = after(c, k);
    status = gh_comm_begin_receive(err, c, &p->messages[n++], p->parts + (size_t)from * p->stride * p->word,
                                   p->own * p->word, from, GH_TAG_DATA);
  }
  for (int k = 1; k < c->ranks && !status; k++) {
    const size_t size = part_of(p, after(c, k), &at);
    if (!size) continue;
    status =
        gh_comm_begin_send(err, c, &p->messages[n++], p->wire + at * p->word, size * p->word, after(c, k), GH_TAG_DATA);
  }
  return status ? status : gh_comm_finish(err, c, p->messages, n, c->patience, p->what);
}

/* Sends this rank's part to all, and receives theirs. */
static gh_status exchange_sums(gh_error *err, const piece *p) {
  gh_comm *c = p->c;
  size_t at;
  gh_status status = GH_OK;
  int n = 0;
  for (int k = 1; k < c->ranks && !status; k++) {
    const size_t size = part_of(p, after(c, k), &at);
    if (!size) continue;
    status = gh_comm_begin_receive(err, c, &p->messages[n++], p->wire + at * p->word, size * p->word, after(c, k),
                                   GH_TAG_DATA);
  }
  for (int k = 1; k < c->ranks && p->own && !status; k++)
    status = gh_comm_begin_send(err, c, &p->messages[n++], p->wire + p->first * p->word, p->own * p->word, after(c, k),
                                GH_TAG_DATA);
  return status ? status : gh_comm_finish(err, c, p->messages, n, c->patience, p->what);
}

/* The others wait for this rank's numbers: what its device cannot do ends the job. */
static gh_status on_device(gh_error *err, const piece *p, gh_sum_work *one) {
  gh_status status = one(err, p->sum->place->user, p->sum->number, p->index);
  return status ? gh_comm_break_off(p->c, status) : GH_OK;
}

static gh_status sum_piece(gh_error *err, const piece *p) {
  const gh_sum_place *place = p->sum->place;
  gh_status status = place ? on_device(err, p, place->gather) : gather_on_host(p);
  if (!status) status = exchange_parts(err, p);
  if (!status) status = place ? on_device(err, p, place->add) : add_on_host(p);
  if (status || p->sum->scatter) return status;
  status = exchange_sums(err, p);
  if (status) return status;
  return place ? on_device(err, p, place->scatter) : scatter_on_host(p);
}

typedef gh_status work(gh_error *err, const piece *p);

static gh_status piece_by_piece(gh_error *err, gh_comm *c, const gh_sum *sum, const char *what, work *one) {
  const size_t ranks = (size_t)c->ranks, largest = gh_sum_piece(sum);
  const gh_sum_place *place = sum->place;
  const size_t own = sum->starts ? largest : largest / ranks + 1;
  piece p = {.c = c, .sum = sum, .what = what, .word = sum->way == GH_SUM_BF16 ? sizeof(uint16_t) : sizeof(float)};
  char *rounded = rounds(&p) && !place ? gh_alloc(err, largest, p.word) : NULL;
  char *parts = place ? NULL : gh_alloc(err, ranks * own, p.word);
  p.messages = gh_alloc(err, 2 * ranks, sizeof *p.messages);
  const bool enough = p.messages && (place || (parts && (rounded || !rounds(&p))));
  gh_status status = enough ? gh_comm_check(err, c) : gh_comm_break_off(c, GH_ERROR_MEMORY);
  p.parts = place ? place->parts : parts;
  p.stride = place ? place->stride : own;
  for (; p.base < sum->count && !status; p.base += p.count, p.index++) {
    p.count = GH_MIN(largest, sum->count - p.base);
    p.own = part_of(&p, c->rank, &p.first);
    p.values = place ? NULL : sum->values + p.base;
    p.wire = place ? place->wire : rounded ? rounded : (char *)p.values;
    status = one(err, &p);
  }
  free(rounded);
  free(parts);
  free(p.messages);
  return status;
}

/* The order of additions is the library's. */
static gh_status sum_fast(gh_error *err, gh_comm *c, const gh_sum *sum) {
  gh_status status = gh_comm_check(err, c);
  for (size_t at = 0; at < sum->count && !status; at += BUCKET) {
    gh_message m = {.peer = -1, .incoming = true};
    int code = c->transport->sum(sum->values + at, (int)GH_MIN(BUCKET, sum->count - at), &m.request);
    status = code ? gh_comm_broke(err, c, code, -1) : gh_comm_finish(err, c, &m, 1, c->patience, "gradients");
  }
  return status;
}

bool gh_comm_takes(const gh_comm *c, const char *memory) {
  return c && memory && c->transport->takes && c->transport->takes(memory);
}

bool gh_comm_sums_fast(const gh_comm *c) { return c && c->transport->sum; }

gh_status gh_comm_sum(gh_error *err, gh_comm *c, const gh_sum *sum) {
  if (!c) return GH_OK;
  return sum->way == GH_SUM_FAST ? sum_fast(err, c, sum) : piece_by_piece(err, c, sum, "gradients", sum_piece);
}

gh_status gh_comm_spread(gh_error *err, gh_comm *c, float *values, const size_t *starts) {
  if (!c) return GH_OK;
  const gh_sum all = {.values = values, .count = starts[c->ranks], .starts = starts};
  return piece_by_piece(err, c, &all, "parameters", exchange_sums);
}
