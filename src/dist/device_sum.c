#include "dist/device_sum.h"
#include "base/array.h"
#include "cl/launch.h"

#include <stdlib.h>

#define MOST_BYTES (INT64_C(256) << 20)
#define ALIGNED    128 /* numbers: where the parts of ranks begin */
#define GROUPS     4096

/* The work on a piece: launches [begins[i], begins[i + 1]) of all. */
enum { GATHER, ADD, SCATTER, WORKS };

typedef struct piece {
  size_t begins[WORKS + 1];
} piece;

struct gh_device_sum {
  gh_device *device, beside;
  int rank, ranks;
  bool rounds; /* the numbers travel as bfloat16 */
  size_t longest, stride;
  int64_t bytes;
  gh_buffer *packed, *wire, *parts, *added; /* without `rounds`, wire is packed */
  gh_launch *narrow, *widen, *narrow_added, *sum;
  gh_launch **launches; /* in order; some several times */
  gh_launch **owned;    /* once each */
  size_t count, capacity, owns, owned_capacity;
  piece *pieces;
  int *first_pieces; /* (sums + 1) */
  gh_sum_place place;
};

/* ---- geometry ---- */

static size_t total(const gh_device_numbers *n) {
  size_t sum = 0;
  for (int i = 0; i < n->count; i++) sum += (size_t)n->counts[i];
  return sum;
}

static gh_sum sum_of(const gh_device_numbers *n) { return (gh_sum){.count = total(n), .starts = n->starts}; }

static int pieces_of(const gh_sum *sum) {
  const size_t size = gh_sum_piece(sum);
  return size ? (int)GH_CEIL_DIV(sum->count, size) : 0;
}

/* The longest piece, and this rank's largest part. */
static void measure(gh_device_sum *s, const gh_device_numbers *sums, int count) {
  for (int i = 0; i < count; i++) {
    const gh_sum sum = sum_of(&sums[i]);
    const size_t size = gh_sum_piece(&sum);
    s->longest = GH_MAX(s->longest, size);
    for (size_t base = 0, first; base < sum.count; base += size) {
      const size_t own = gh_sum_part(&sum, s->ranks, s->rank, base, GH_MIN(size, sum.count - base), &first);
      s->stride = GH_MAX(s->stride, own);
    }
  }
  s->stride = GH_CEIL_DIV(GH_MAX(s->stride, 1), ALIGNED) * ALIGNED;
}

/* ---- commands ---- */

/* In order, from now on. */
static gh_status append(gh_error *err, gh_device_sum *s, gh_launch *launch) {
  gh_status status = GH_ARRAY_RESERVE(err, s->launches, s->capacity, s->count, 1);
  if (!status) s->launches[s->count++] = launch;
  return status;
}

/* Frees it at the end. */
static gh_status own(gh_error *err, gh_device_sum *s, gh_launch *launch) {
  gh_status status = GH_ARRAY_RESERVE(err, s->owned, s->owned_capacity, s->owns, 1);
  if (status)
    s->device->backend->launch_free(launch);
  else
    s->owned[s->owns++] = launch;
  return status;
}

/* Offsets and count in words of that many bytes. */
static gh_status copy(gh_error *err, gh_device_sum *s, gh_buffer *to, size_t to_at, const gh_buffer *from,
                      size_t from_at, size_t count, size_t word) {
  gh_launch *launch = NULL;
  if (!count) return GH_OK;
  gh_status status = s->device->backend->bind_copy(err, s->device, to, (int64_t)(to_at * word), from,
                                                   (int64_t)(from_at * word), (int64_t)(count * word), &launch);
  if (!status) status = own(err, s, launch);
  return status ? status : append(err, s, launch);
}

/* Numbers [base, base + count) of a sum to, or from, `side`, where they begin at `at`. */
static gh_status copy_numbers(gh_error *err, gh_device_sum *s, const gh_device_numbers *n, size_t base, size_t count,
                              gh_buffer *side, size_t at, bool gathers) {
  gh_status status = GH_OK;
  size_t begins = 0;
  for (int i = 0; i < n->count && !status; i++) {
    const size_t ends = begins + (size_t)n->counts[i];
    const size_t from = GH_MAX(begins, base), to = GH_MIN(ends, base + count);
    if (from < to && gathers)
      status = copy(err, s, side, at + from - base, n->buffers[i], from - begins, to - from, sizeof(float));
    else if (from < to)
      status = copy(err, s, n->buffers[i], from - begins, side, at + from - base, to - from, sizeof(float));
    begins = ends;
  }
  return status;
}

static gh_status bind_piece(gh_error *err, gh_device_sum *s, const gh_device_numbers *n, const gh_sum *sum, size_t base,
                            piece *p) {
  const size_t count = GH_MIN(gh_sum_piece(sum), sum->count - base),
               word = s->rounds ? sizeof(uint16_t) : sizeof(float);
  size_t first;
  const size_t part = gh_sum_part(sum, s->ranks, s->rank, base, count, &first);
  p->begins[GATHER] = s->count;
  gh_status status = copy_numbers(err, s, n, base, count, s->packed, 0, true);
  if (!status && s->rounds) status = append(err, s, s->narrow);
  if (!status) status = copy(err, s, s->parts, (size_t)s->rank * s->stride, s->wire, first, part, word);
  p->begins[ADD] = s->count;
  if (!status && part) status = append(err, s, s->sum);
  if (!status && n->starts) status = copy_numbers(err, s, n, base + first, part, s->added, 0, false);
  if (!status && !n->starts && s->rounds) status = append(err, s, s->narrow_added);
  if (!status && !n->starts) status = copy(err, s, s->wire, first, s->rounds ? s->parts : s->added, 0, part, word);
  p->begins[SCATTER] = s->count;
  if (!status && !n->starts && s->rounds) status = append(err, s, s->widen);
  if (!status && !n->starts) status = copy_numbers(err, s, n, base, count, s->packed, 0, false);
  p->begins[WORKS] = s->count;
  return status;
}

/* ---- kernels, for the longest piece and the largest part: what is beyond a shorter one is never read ---- */

static gh_status bind(gh_error *err, gh_device_sum *s, gh_launch **out, const char *name, size_t threads,
                      const gh_arg *args, int count) {
  const gh_kernel_id id = {.name = name, .dtype = s->rounds ? GH_BF16 : GH_F32};
  const size_t lanes = (size_t)GH_MIN(s->device->info.max_group, GROUP_ITEMS);
  const gh_grid grid = {.groups = {threads, 1, 1}, .local = {lanes, 1, 1}};
  gh_status status = s->device->backend->bind_kernel(err, s->device, &id, &grid, args, count, out);
  return status ? status : own(err, s, *out);
}

static gh_status bind_cast(gh_error *err, gh_device_sum *s, gh_launch **out, const char *name, const gh_buffer *to,
                           const gh_buffer *from, size_t n) {
  const gh_arg args[] = {gh_arg_buffer(to), gh_arg_buffer(from), gh_arg_i64((int64_t)n)};
  return bind(err, s, out, name, GH_MIN(GH_CEIL_DIV(n, GROUP_ITEMS), GROUPS), args, GH_COUNT(args));
}

/* Column sums of a matrix (ranks, stride), which go through its rows in order, from 0 on. */
static gh_status bind_sum(gh_error *err, gh_device_sum *s) {
  const int64_t ranks = s->ranks, stride = (int64_t)s->stride;
  const size_t lanes = (size_t)GH_MIN(s->device->info.max_group, GROUP_ITEMS), groups = GH_CEIL_DIV(s->stride, lanes);
  const gh_arg wide[] = {gh_arg_buffer(s->added), gh_arg_buffer(s->parts), gh_arg_i64(ranks),
                         gh_arg_i64(stride),      gh_arg_f32(1),           gh_arg_i32(0)};
  const gh_arg narrow[] = {gh_arg_buffer(s->added), gh_arg_buffer(s->parts), gh_arg_i64(ranks), gh_arg_i64(1),
                           gh_arg_i64(stride)};
  if (!s->rounds) return bind(err, s, &s->sum, "column_sum_final", groups, wide, GH_COUNT(wide));
  return bind(err, s, &s->sum, "column_sum_partial", groups, narrow, GH_COUNT(narrow));
}

static gh_status bind_kernels(gh_error *err, gh_device_sum *s) {
  gh_status status = bind_sum(err, s);
  if (status || !s->rounds) return status;
  status = bind_cast(err, s, &s->narrow, "cast_narrow", s->wire, s->packed, s->longest);
  if (!status) status = bind_cast(err, s, &s->widen, "cast_widen", s->packed, s->wire, s->longest);
  return status ? status : bind_cast(err, s, &s->narrow_added, "cast_narrow", s->parts, s->added, s->stride);
}

/* ---- work, by the thread of the sums ---- */

static gh_status work(gh_error *err, void *user, int sum, int index, int which) {
  gh_device_sum *s = user;
  const gh_backend *b = s->device->backend;
  const piece *p = &s->pieces[s->first_pieces[sum] + index];
  gh_status status = which == GATHER && !index ? b->beside_follow(err, &s->beside, sum) : GH_OK;
  for (size_t i = p->begins[which]; i < p->begins[which + 1] && !status; i++)
    status = b->enqueue(err, &s->beside, s->launches[i]);
  return status ? status : b->finish(err, &s->beside);
}

static gh_status gather(gh_error *err, void *user, int sum, int index) { return work(err, user, sum, index, GATHER); }
static gh_status add(gh_error *err, void *user, int sum, int index) { return work(err, user, sum, index, ADD); }
static gh_status scatter(gh_error *err, void *user, int sum, int index) { return work(err, user, sum, index, SCATTER); }

gh_status gh_device_sum_ready(gh_error *err, gh_device_sum *s, int sum) {
  return s->device->backend->beside_point(err, s->device, &s->beside, sum);
}

const gh_sum_place *gh_device_sum_place(const gh_device_sum *s) { return &s->place; }
int64_t gh_device_sum_bytes(const gh_device_sum *s) { return s->bytes; }

/* ---- life ---- */

gh_status gh_device_sum_check(gh_error *err, const gh_comm *comm, const gh_device *device, gh_sum_way way) {
  const char *kind = device->backend->memory;
  if (!kind || device->info.shape != GH_SHAPE_GPU)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "MPI takes no memory of %s", device->info.id);
  if (!gh_comm_takes(comm, kind))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s does not say that it takes memory of %s (\"%s\")",
                   gh_comm_library(comm), device->info.id, kind);
  if (way == GH_SUM_BF16 && gh_comm_ranks(comm) > COLUMN_CHUNK)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s adds bfloat16 of %d ranks at most", device->info.id, COLUMN_CHUNK);
  return GH_OK;
}

static gh_status allocate(gh_error *err, gh_device_sum *s, gh_buffer **out, size_t bytes) {
  s->bytes += (int64_t)bytes;
  return s->device->backend->buffer_create(err, s->device, (int64_t)bytes, out);
}

static gh_status allocate_all(gh_error *err, gh_device_sum *s) {
  const size_t word = s->rounds ? sizeof(uint16_t) : sizeof(float), parts = (size_t)s->ranks * s->stride * word;
  if ((int64_t)parts > MOST_BYTES)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "the parts of %d ranks would take %.0f MiB of %s", s->ranks,
                   (double)parts / 1048576, s->device->info.id);
  gh_status status = allocate(err, s, &s->packed, s->longest * sizeof(float));
  if (!status) status = allocate(err, s, &s->parts, parts);
  if (!status) status = allocate(err, s, &s->added, s->stride * sizeof(float));
  if (!status && s->rounds) status = allocate(err, s, &s->wire, s->longest * word);
  if (!s->rounds) s->wire = s->packed;
  return status;
}

gh_status gh_device_sum_create(gh_error *err, gh_device_sum **out, const gh_comm *comm, gh_device *device,
                               const gh_device_numbers *sums, int count, gh_sum_way way) {
  gh_device_sum *s = *out = gh_alloc(err, 1, sizeof *s);
  int pieces = 0;
  if (!s) return GH_ERROR_MEMORY;
  s->device = device;
  s->rank = gh_comm_rank(comm);
  s->ranks = gh_comm_ranks(comm);
  s->rounds = way == GH_SUM_BF16;
  measure(s, sums, count);
  for (int i = 0; i < count; i++) pieces += pieces_of(&(gh_sum){.count = total(&sums[i])});
  s->pieces = gh_alloc(err, (size_t)GH_MAX(pieces, 1), sizeof *s->pieces);
  s->first_pieces = gh_alloc(err, (size_t)count + 1, sizeof *s->first_pieces);
  gh_status status = s->pieces && s->first_pieces ? allocate_all(err, s) : GH_ERROR_MEMORY;
  if (!status) status = device->backend->beside_open(err, device, count, &s->beside);
  if (!status) status = bind_kernels(err, s);
  for (int i = 0, at = 0; i < count && !status; i++) {
    const gh_sum sum = sum_of(&sums[i]);
    s->first_pieces[i] = at;
    for (size_t base = 0; base < sum.count && !status; base += gh_sum_piece(&sum))
      status = bind_piece(err, s, &sums[i], &sum, base, &s->pieces[at++]);
  }
  if (status) return status;
  s->place = (gh_sum_place){.wire = device->backend->address(s->wire),
                            .parts = device->backend->address(s->parts),
                            .stride = s->stride,
                            .gather = gather,
                            .add = add,
                            .scatter = scatter,
                            .user = s};
  return GH_OK;
}

void gh_device_sum_free(gh_device_sum *s) {
  if (!s) return;
  const gh_backend *b = s->device->backend;
  if (s->beside.impl) b->beside_close(&s->beside);
  for (size_t i = 0; i < s->owns; i++) b->launch_free(s->owned[i]);
  if (s->wire != s->packed) b->buffer_free(s->wire);
  b->buffer_free(s->packed);
  b->buffer_free(s->parts);
  b->buffer_free(s->added);
  free(s->launches);
  free(s->owned);
  free(s->pieces);
  free(s->first_pieces);
  free(s);
}
