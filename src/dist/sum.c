/* Sums over ranks. Each number is added by one rank, which its part belongs to, in the order of ranks. */
#include "base/half.h"
#include "dist/comm_internal.h"

#include <stdlib.h>
#include <string.h>

#define BUCKET ((size_t)4 << 20) /* floats per exchange */

/* A piece of a sum's numbers: [base, base + count) of them. */
typedef struct piece {
  gh_comm *c;
  const gh_sum *sum;
  float *values; /* (count) */
  size_t base, count;
  const char *what;
  /* What travels, as float32 or bfloat16. */
  size_t word;
  char *wire;           /* (count): `values` itself, or rounded */
  char *parts;          /* (ranks, own): every rank's numbers of this rank's part */
  float *added;         /* (own) */
  gh_message *messages; /* (2 ranks) */
} piece;

/* The numbers [*first, *first + result) of a piece are that rank's. */
static size_t part_of(const piece *p, int rank, size_t *first) {
  const size_t ranks = (size_t)p->c->ranks, r = (size_t)rank, *starts = p->sum->starts;
  *first = p->count * r / ranks;
  if (!starts) return p->count * (r + 1) / ranks - *first;
  const size_t from = GH_MAX(starts[r], p->base), to = GH_MIN(starts[r + 1], p->base + p->count);
  *first = from < to ? from - p->base : 0;
  return from < to ? to - from : 0;
}

static void narrow(const piece *p, size_t first, size_t count) {
  uint16_t *to = (uint16_t *)(void *)p->wire;
  for (size_t i = first; i < first + count; i++) to[i] = gh_f32_to_bf16(p->values[i]);
}

static void widen(const piece *p) {
  const uint16_t *from = (const uint16_t *)(const void *)p->wire;
  for (size_t i = 0; i < p->count; i++) p->values[i] = gh_bf16_to_f32(from[i]);
}

/* The rank that comes k after this one: each sends to another one first. */
static int after(const gh_comm *c, int k) { return (c->rank + k) % c->ranks; }

/* Sends every rank the numbers of its part, and receives those of this rank's. */
static gh_status exchange_parts(gh_error *err, const piece *p) {
  gh_comm *c = p->c;
  size_t first, own = part_of(p, c->rank, &first), at;
  gh_status status = GH_OK;
  int n = 0;
  memcpy(p->parts + (size_t)c->rank * own * p->word, p->wire + first * p->word, own * p->word);
  for (int k = 1; k < c->ranks && own && !status; k++) {
    const int from = after(c, k);
    status = gh_comm_begin_receive(err, c, &p->messages[n++], p->parts + (size_t)from * own * p->word, own * p->word,
                                   from, GH_TAG_DATA);
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
  size_t first, own = part_of(p, c->rank, &first), at;
  gh_status status = GH_OK;
  int n = 0;
  for (int k = 1; k < c->ranks && !status; k++) {
    const size_t size = part_of(p, after(c, k), &at);
    if (!size) continue;
    status = gh_comm_begin_receive(err, c, &p->messages[n++], p->wire + at * p->word, size * p->word, after(c, k),
                                   GH_TAG_DATA);
  }
  for (int k = 1; k < c->ranks && own && !status; k++)
    status = gh_comm_begin_send(err, c, &p->messages[n++], p->wire + first * p->word, own * p->word, after(c, k),
                                GH_TAG_DATA);
  return status ? status : gh_comm_finish(err, c, p->messages, n, c->patience, p->what);
}

/* added (own) <- the sum over ranks, in their order */
static void add(const piece *p, size_t own) {
  for (int k = 0; k < p->c->ranks; k++) {
    const char *part = p->parts + (size_t)k * own * p->word;
    const float *floats = (const float *)(const void *)part;
    const uint16_t *rounded = (const uint16_t *)(const void *)part;
    if (p->word == sizeof(float))
      for (size_t i = 0; i < own; i++) p->added[i] = k ? p->added[i] + floats[i] : floats[i];
    else
      for (size_t i = 0; i < own; i++) p->added[i] = (k ? p->added[i] : 0) + gh_bf16_to_f32(rounded[i]);
  }
}

static gh_status sum_piece(gh_error *err, const piece *p) {
  const bool rounds = p->word == sizeof(uint16_t);
  size_t first, own = part_of(p, p->c->rank, &first);
  if (rounds) narrow(p, 0, p->count);
  gh_status status = exchange_parts(err, p);
  if (status) return status;
  add(p, own);
  memcpy(p->values + first, p->added, own * sizeof *p->values);
  if (p->sum->scatter) return GH_OK;
  if (rounds) narrow(p, first, own);
  status = exchange_sums(err, p);
  if (!status && rounds) widen(p); /* the owner too has the rounded sums */
  return status;
}

typedef gh_status work(gh_error *err, const piece *p);

static gh_status piece_by_piece(gh_error *err, gh_comm *c, const gh_sum *sum, const char *what, work *one) {
  const size_t ranks = (size_t)c->ranks, largest = GH_MIN(sum->count, BUCKET);
  const size_t own = sum->starts ? largest : largest / ranks + 1;
  const bool rounds = sum->way == GH_SUM_BF16;
  piece p = {.c = c, .sum = sum, .what = what, .word = rounds ? sizeof(uint16_t) : sizeof(float)};
  char *rounded = rounds ? gh_alloc(err, largest, p.word) : NULL;
  p.parts = gh_alloc(err, ranks * own, p.word);
  p.added = gh_alloc(err, own, sizeof *p.added);
  p.messages = gh_alloc(err, 2 * ranks, sizeof *p.messages);
  const bool enough = p.parts && p.added && p.messages && (rounded || !rounds);
  gh_status status = enough ? GH_OK : gh_comm_break_off(c, GH_ERROR_MEMORY);
  for (p.base = 0; p.base < sum->count && !status; p.base += p.count) {
    p.count = GH_MIN(largest, sum->count - p.base);
    p.values = sum->values + p.base;
    p.wire = rounds ? rounded : (char *)p.values;
    status = one(err, &p);
  }
  free(rounded);
  free(p.parts);
  free(p.added);
  free(p.messages);
  return status;
}

/* The order of additions is the library's. */
static gh_status sum_fast(gh_error *err, gh_comm *c, const gh_sum *sum) {
  gh_status status = GH_OK;
  for (size_t at = 0; at < sum->count && !status; at += BUCKET) {
    gh_message m = {.peer = -1, .incoming = true};
    int code = c->transport->sum(sum->values + at, (int)GH_MIN(BUCKET, sum->count - at), &m.request);
    status = code ? gh_comm_broke(err, c, code, -1) : gh_comm_finish(err, c, &m, 1, c->patience, "gradients");
  }
  return status;
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
