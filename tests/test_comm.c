/* The communicator between threads that play the ranks: sums in the order of ranks to the bit, texts, agreements, a
 * rank that does not answer. tests/test_ranks.sh has the same over MPI. */
#include "support/check.h"

#include "base/half.h"
#include "dist/compare.h"
#include "dist/reducer.h"
#include "train/ranks_local.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANKS    5
#define MESSAGES 256 /* on their way between two ranks at once */

/* ---- a transport between threads ---- */

typedef struct mail {
  int tag, bytes;
  void *data;
} mail;

/* From one rank to another: in order. */
typedef struct box {
  mail waiting[MESSAGES];
  int count;
} box;

typedef struct receipt {
  bool used, incoming;
  int peer, tag, bytes;
  void *into;
} receipt;

static box boxes[RANKS][RANKS]; /* [from][to] */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int own_rank;
static _Thread_local receipt receipts[MESSAGES];

static int new_receipt(receipt r, uint64_t *request) {
  for (int i = 0; i < MESSAGES; i++) {
    if (receipts[i].used) continue;
    receipts[i] = r;
    *request = (uint64_t)i;
    return 0;
  }
  return 1;
}

static int box_send(const void *data, int bytes, int to, int tag, uint64_t *request) {
  pthread_mutex_lock(&lock);
  box *b = &boxes[own_rank][to];
  bool room = b->count < MESSAGES;
  if (room) {
    mail m = {tag, bytes, malloc((size_t)bytes + 1)};
    memcpy(m.data, data, (size_t)bytes);
    b->waiting[b->count++] = m;
  }
  pthread_mutex_unlock(&lock);
  return room ? new_receipt((receipt){.used = true, .peer = to}, request) : 1;
}

static int box_receive(void *data, int bytes, int from, int tag, uint64_t *request) {
  return new_receipt((receipt){.used = true, .incoming = true, .peer = from, .tag = tag, .bytes = bytes, .into = data},
                     request);
}

/* Takes the oldest message of the tag. */
static int take(receipt *r, int *done) {
  box *b = &boxes[r->peer][own_rank];
  for (int i = 0; i < b->count; i++) {
    mail m = b->waiting[i];
    if (m.tag != r->tag) continue;
    memmove(b->waiting + i, b->waiting + i + 1, (size_t)(--b->count - i) * sizeof *b->waiting);
    const bool fits = m.bytes == r->bytes;
    if (fits) memcpy(r->into, m.data, (size_t)m.bytes);
    free(m.data);
    *done = 1;
    return fits ? 0 : 1;
  }
  return 0;
}

/* A request is tested in the order in which it was made: see finish() in dist/comm.c. */
static int box_test(uint64_t *request, int *done) {
  receipt *r = &receipts[*request];
  int code = 0;
  *done = !r->incoming;
  pthread_mutex_lock(&lock);
  if (r->incoming) code = take(r, done);
  pthread_mutex_unlock(&lock);
  if (*done) r->used = false;
  return code;
}

static void box_text(int code, char *out, size_t size) { snprintf(out, size, "code %d", code); }
static void box_abort(int code) { (void)code; } /* the process ends anyway */
static int box_close(void) { return 0; }

/* ---- playing ranks ---- */

typedef void play(gh_comm *comm);

typedef struct player {
  pthread_t thread;
  gh_transport transport;
  play *play;
} player;

static void *run_player(void *argument) {
  player *p = argument;
  gh_error err;
  gh_comm *comm = NULL;
  own_rank = p->transport.rank;
  memset(receipts, 0, sizeof receipts);
  if (gh_comm_create(&err, &p->transport, &comm)) fprintf(stderr, "%s\n", err.text);
  if (!comm) return p; /* not NULL: failed */
  p->play(comm);
  gh_comm_close(comm);
  return NULL;
}

static void play_on(int ranks, play *what) {
  player players[RANKS];
  for (int i = 0; i < ranks; i++) {
    players[i] = (player){.play = what};
    players[i].transport = (gh_transport){.name = "threads",
                                          .rank = i,
                                          .ranks = ranks,
                                          .send = box_send,
                                          .receive = box_receive,
                                          .test = box_test,
                                          .close = box_close,
                                          .text = box_text,
                                          .abort = box_abort};
    assert_int_equal(pthread_create(&players[i].thread, NULL, run_player, &players[i]), 0);
  }
  for (int i = 0; i < ranks; i++) {
    void *failed;
    assert_int_equal(pthread_join(players[i].thread, &failed), 0);
    assert_null(failed);
  }
  for (int i = 0; i < RANKS * RANKS; i++) { /* what a rank that gave up did not take */
    box *b = &boxes[i / RANKS][i % RANKS];
    while (b->count) free(b->waiting[--b->count].data);
  }
}

static int failures; /* asserts of cmocka work in the main thread only */

static void expect(bool holds, const char *what) {
  if (holds) return;
  pthread_mutex_lock(&lock);
  failures++;
  fprintf(stderr, "rank %d: %s\n", own_rank, what);
  pthread_mutex_unlock(&lock);
}

static void play_all(int least, play *what) {
  for (int ranks = least; ranks <= RANKS; ranks++) play_on(ranks, what);
  assert_int_equal(failures, 0);
}

/* ---- the tests ---- */

#define MOST 1000003

/* Of very different sizes, so that another order gives other bits. */
static float number(int rank, size_t i) {
  uint32_t mixed = (uint32_t)i * UINT32_C(2654435761) + (uint32_t)rank * UINT32_C(40503);
  return (float)(mixed % 2003) / 7 * (mixed & 4096 ? 1e-4f : 1e3f) - 300;
}

static void sum(gh_comm *comm) {
  static const size_t counts[] = {1, 2, 3, 31, 33, 64, 65, 1009, MOST};
  gh_error err;
  float *values = malloc(MOST * sizeof *values);
  for (size_t n = 0; values && n < GH_COUNT(counts); n++) {
    for (size_t i = 0; i < counts[n]; i++) values[i] = number(gh_comm_rank(comm), i);
    expect(gh_comm_sum(&err, comm, &(gh_sum){.values = values, .count = counts[n]}) == GH_OK, "a sum failed");
    size_t wrong = 0;
    for (size_t i = 0; i < counts[n]; i++) {
      float want = number(0, i);
      for (int k = 1; k < gh_comm_ranks(comm); k++) want += number(k, i);
      wrong += memcmp(&want, &values[i], sizeof want) != 0;
    }
    expect(!wrong, "a sum has other bits");
  }
  free(values);
}

#define PART 1000

/* Ranks 1 and 4 own nothing, the others one part more than the one before. */
static size_t parts_of(const gh_comm *comm, size_t starts[RANKS + 1]) {
  static const size_t sizes[RANKS] = {PART, 0, 2 * PART, 3 * PART, 0};
  starts[0] = 0;
  for (int i = 0; i < gh_comm_ranks(comm); i++) starts[i + 1] = starts[i] + sizes[i];
  return starts[gh_comm_ranks(comm)];
}

static bool is(float value, float want) { return !memcmp(&value, &want, sizeof want); }

/* Each rank adds its part, and only then do all get the sums. */
static void sum_of_parts(gh_comm *comm) {
  gh_error err;
  float values[6 * PART];
  size_t starts[RANKS + 1], count = parts_of(comm, starts), wrong = 0;
  const int rank = gh_comm_rank(comm), ranks = gh_comm_ranks(comm);
  for (size_t i = 0; i < count; i++) values[i] = number(rank, i);
  const gh_sum given = {.values = values, .count = count, .starts = starts, .scatter = true};
  expect(!gh_comm_sum(&err, comm, &given), "a sum of parts failed");
  for (size_t i = 0; i < count; i++) {
    float want = number(0, i);
    for (int k = 1; k < ranks; k++) want += number(k, i);
    const bool owned = i >= starts[rank] && i < starts[rank + 1];
    wrong += owned && !is(values[i], want);
    if (!owned) values[i] = -1;
  }
  expect(!wrong, "a part's sum has other bits");
  expect(!gh_comm_spread(&err, comm, values, starts), "spreading failed");
  for (size_t i = 0; i < count; i++) {
    float want = number(0, i);
    for (int k = 1; k < ranks; k++) want += number(k, i);
    wrong += !is(values[i], want);
  }
  expect(!wrong, "what was spread has other bits");
}

/* Rounded before they travel, added in float32, and rounded again. */
static void sum_rounded(gh_comm *comm) {
  gh_error err;
  float values[1009];
  size_t wrong = 0;
  for (size_t i = 0; i < 1009; i++) values[i] = number(gh_comm_rank(comm), i);
  expect(!gh_comm_sum(&err, comm, &(gh_sum){.values = values, .count = 1009, .way = GH_SUM_BF16}), "a sum failed");
  for (size_t i = 0; i < 1009; i++) {
    float want = 0;
    for (int k = 0; k < gh_comm_ranks(comm); k++) want += gh_bf16_to_f32(gh_f32_to_bf16(number(k, i)));
    wrong += !is(values[i], gh_bf16_to_f32(gh_f32_to_bf16(want)));
  }
  expect(!wrong, "a rounded sum has other bits");
}

/* ---- sums in another memory ---- */

#define PLACED (((size_t)4 << 20) + 1009) /* two pieces */

/* A device's memory, for which this one stands. */
typedef struct fake_device {
  gh_sum sum;
  int rank, ranks, calls;
  float *numbers;
  char *wire, *parts;
  size_t stride;
} fake_device;

static size_t fake_piece(const fake_device *d, int piece, size_t *base, size_t *count, size_t *first) {
  const size_t size = gh_sum_piece(&d->sum);
  *base = (size_t)piece * size;
  *count = GH_MIN(size, d->sum.count - *base);
  return gh_sum_part(&d->sum, d->ranks, d->rank, *base, *count, first);
}

static gh_status fake_gather(gh_error *err, void *user, int sum, int piece) {
  fake_device *d = user;
  size_t base, count, first;
  const size_t own = fake_piece(d, piece, &base, &count, &first);
  (void)err;
  expect(sum == 7 && d->calls++ == 3 * piece, "gather's turn");
  memcpy(d->wire, d->numbers + base, count * sizeof(float));
  memcpy(d->parts + (size_t)d->rank * d->stride * sizeof(float), d->wire + first * sizeof(float), own * sizeof(float));
  return GH_OK;
}

static gh_status fake_add(gh_error *err, void *user, int sum, int piece) {
  fake_device *d = user;
  size_t base, count, first;
  const size_t own = fake_piece(d, piece, &base, &count, &first);
  const float *parts = (const float *)(const void *)d->parts;
  (void)err;
  expect(sum == 7 && d->calls++ == 3 * piece + 1, "add's turn");
  for (size_t i = 0; i < own; i++) {
    float total = 0;
    for (int k = 0; k < d->ranks; k++) total += parts[(size_t)k * d->stride + i];
    memcpy(d->wire + (first + i) * sizeof total, &total, sizeof total);
  }
  return GH_OK;
}

static gh_status fake_scatter(gh_error *err, void *user, int sum, int piece) {
  fake_device *d = user;
  size_t base, count, first;
  (void)err;
  fake_piece(d, piece, &base, &count, &first);
  expect(sum == 7 && d->calls++ == 3 * piece + 2, "scatter's turn");
  memcpy(d->numbers + base, d->wire, count * sizeof(float));
  return GH_OK;
}

/* Ranks 1 and 3 have their numbers in another memory: all get the bits of a sum in the host's. */
static void sum_placed(gh_comm *comm) {
  gh_error err;
  const int rank = gh_comm_rank(comm), ranks = gh_comm_ranks(comm);
  fake_device d = {.sum = {.count = PLACED}, .rank = rank, .ranks = ranks};
  const size_t piece = gh_sum_piece(&d.sum);
  size_t wrong = 0;
  d.stride = piece / (size_t)ranks + 8;
  d.numbers = malloc(PLACED * sizeof(float));
  d.wire = malloc(piece * sizeof(float));
  d.parts = malloc((size_t)ranks * d.stride * sizeof(float));
  for (size_t i = 0; i < PLACED; i++) d.numbers[i] = number(rank, i);
  const gh_sum_place place = {d.wire, d.parts, d.stride, fake_gather, fake_add, fake_scatter, &d};
  const bool away = rank % 2;
  const gh_sum given = {.values = away ? NULL : d.numbers, .count = PLACED, .place = away ? &place : NULL, .number = 7};
  expect(gh_comm_sum(&err, comm, &given) == GH_OK, "a sum failed");
  for (size_t i = 0; i < PLACED; i++) {
    float want = number(0, i);
    for (int k = 1; k < ranks; k++) want += number(k, i);
    wrong += !is(d.numbers[i], want);
  }
  expect(!wrong, "a sum has other bits");
  expect(!away || d.calls == 6, "all work on two pieces");
  expect(!gh_comm_takes(comm, "cuda") && !gh_comm_takes(comm, NULL), "this transport takes no device's memory");
  free(d.numbers);
  free(d.wire);
  free(d.parts);
}

/* Two updates' sums through the reducer; then an update that one rank cannot make. */
static void reduce(gh_comm *comm) {
  gh_error err = {0};
  float values[2][100];
  gh_reducer *reducer = NULL;
  const int rank = gh_comm_rank(comm), ranks = gh_comm_ranks(comm);
  expect(!gh_reducer_create(&err, &reducer, comm, 2), "no reducer");
  for (int update = 0; update < 2; update++) {
    unsigned flags = 0;
    gh_reducer_begin(reducer, GH_OK, NULL, "a test", 1u << rank);
    for (int bucket = 0; bucket < 2; bucket++) {
      for (size_t i = 0; i < 100; i++) values[bucket][i] = (float)(rank + bucket + update);
      gh_reducer_add(reducer, &(gh_sum){.values = values[bucket], .count = 100});
    }
    expect(!gh_reducer_wait(&err, reducer, &flags), "the sums failed");
    expect(flags == (1u << ranks) - 1, "the flags of all");
    for (int bucket = 0; bucket < 2; bucket++)
      for (size_t i = 0; i < 100; i++)
        expect(is(values[bucket][i], (float)(ranks * (ranks - 1) / 2 + ranks * (bucket + update))), "another sum");
  }
  unsigned flags = 0;
  gh_status own = rank == 1 ? gh_fail(&err, GH_ERROR_FILE, "gone") : GH_OK;
  gh_reducer_begin(reducer, own, &err, "a test", 0);
  if (!own) gh_reducer_add(reducer, &(gh_sum){.values = values[0], .count = 100}); /* before it knows */
  expect(gh_reducer_wait(&err, reducer, &flags) == GH_ERROR_FILE, "rank 1 had failed");
  expect(!strncmp(err.text, "rank 1 on ", 10) && strstr(err.text, ": gone"), err.text);
  gh_reducer_free(reducer);
}

static void texts(gh_comm *comm) {
  gh_error err;
  char own[32], *shared = NULL, *all[RANKS] = {NULL};
  const int rank = gh_comm_rank(comm);
  snprintf(own, sizeof own, "of rank %d", rank);
  expect(!gh_comm_share_text(&err, comm, &shared) && !shared, "no text became one");
  shared = strdup(own);
  expect(!gh_comm_share_text(&err, comm, &shared) && !strcmp(shared, "of rank 0"), "rank 0's text");
  free(shared);
  expect(!gh_comm_gather_text(&err, comm, own, all), "gathering failed");
  for (int i = 0; i < gh_comm_ranks(comm) && !rank; i++) {
    snprintf(own, sizeof own, "of rank %d", i);
    expect(all[i] && !strcmp(all[i], own), "another text was gathered");
    free(all[i]);
  }
  expect(gh_comm_local_ranks(comm) == gh_comm_ranks(comm) && gh_comm_local_rank(comm) == rank, "all are on this host");
}

static void agree(gh_comm *comm) {
  gh_error err = {0};
  unsigned flags = 1u << gh_comm_rank(comm);
  expect(!gh_comm_agree(&err, comm, GH_OK, "a test", &flags), "all had succeeded");
  expect(flags == (1u << gh_comm_ranks(comm)) - 1, "flags are or'ed");
  gh_status own = gh_comm_rank(comm) == 1 ? gh_fail(&err, GH_ERROR_FILE, "gone") : GH_OK;
  expect(gh_comm_agree(&err, comm, own, "another", NULL) == GH_ERROR_FILE, "rank 1 had failed");
  expect(!strncmp(err.text, "rank 1 on ", 10) && strstr(err.text, ": gone"), err.text);
  expect(gh_comm_agreed_failure(comm), "the failure was agreed on");
  expect(!gh_comm_agree(&err, comm, GH_OK, "a third", NULL), "agreements after a failure are none");
}

static void agree_alike(gh_comm *comm) {
  gh_error err = {0};
  gh_fail(&err, GH_ERROR_CONFIG, "wrong key");
  expect(gh_comm_agree(&err, comm, GH_ERROR_CONFIG, "a test", NULL) == GH_ERROR_CONFIG, "all had failed");
  expect(!strcmp(err.text, "wrong key"), err.text);
}

static void lose_the_way(gh_comm *comm) {
  gh_error err = {0};
  const bool last = gh_comm_rank(comm) + 1 == gh_comm_ranks(comm);
  expect(gh_comm_agree(&err, comm, GH_OK, last ? "there" : "here", NULL) == GH_ERROR_DEVICE, "two points of a run");
  expect(strstr(err.text, "there") != NULL, err.text);
}

static void compare(gh_comm *comm) {
  static const char *const except[] = {"a.free", NULL};
  gh_error err = {0};
  for (int differ = 0; differ < 2; differ++) {
    gh_json *own = gh_json_object(&err), *a = gh_json_put_object(&err, own, "a");
    gh_json_put_int(&err, a, "free", gh_comm_rank(comm));
    gh_json_put_int(&err, a, "b", differ && gh_comm_rank(comm) == 1 ? 8 : 7);
    gh_status status = gh_comm_compare(&err, comm, own, except);
    expect(status == (differ ? GH_ERROR_CONFIG : GH_OK), "the comparison's status");
    expect(!differ || strstr(err.text, ": a.b is 8, but 7 on rank 0"), err.text);
  }
}

/* The last rank does not come. */
static void hang(gh_comm *comm) {
  gh_error err = {0};
  const int last = gh_comm_ranks(comm) - 1;
  char name[32];
  gh_comm_patience(comm, 0.05);
  if (gh_comm_rank(comm) == last) return;
  expect(gh_comm_agree(&err, comm, GH_OK, "a test", NULL) == GH_ERROR_DEVICE, "nobody missed the last rank");
  snprintf(name, sizeof name, "rank %d on ", last);
  expect(!strncmp(err.text, name, strlen(name)) && strstr(err.text, "did not answer within"), err.text);
  float value = 1; /* nothing waits once more */
  expect(gh_comm_sum(&err, comm, &(gh_sum){.values = &value, .count = 1}) == GH_ERROR_DEVICE, "a sum after that");
  expect(strstr(err.text, "is broken") != NULL, err.text);
  expect(gh_comm_broadcast(&err, comm, &value, sizeof value) == GH_ERROR_DEVICE, "a broadcast after that");
}

static void test_sums(void **state) {
  (void)state;
  play_all(1, sum);
  play_all(1, sum_of_parts);
  play_all(1, sum_rounded);
  play_all(4, sum_placed);
}

static void test_reducer(void **state) {
  (void)state;
  play_all(2, reduce);
}

static void test_texts(void **state) {
  (void)state;
  play_all(1, texts);
}

static void test_agreements(void **state) {
  (void)state;
  play_all(2, agree);
  play_all(1, agree_alike);
  play_all(2, lose_the_way);
}

static void test_comparing(void **state) {
  (void)state;
  play_all(2, compare);
}

static void test_a_rank_that_hangs(void **state) {
  (void)state;
  play_on(2, hang);
  assert_int_equal(failures, 0);
}

/* The time of the rank that ends last. */
static double ends(const int64_t *shares, const double *seconds, const int64_t *micro) {
  double end = 0;
  for (int i = 0; i < 3; i++) end = GH_MAX(end, seconds[i] * (double)GH_CEIL_DIV(shares[i], micro[i]));
  return end;
}

/* Against every way to divide. */
static void test_dividing(void **state) {
  (void)state;
  static const double seconds[][3] = {{1, 1, 1}, {1, 3, 2}, {0.1, 5, 1}, {7, 1, 1.5}};
  static const int64_t micro[][3] = {{1, 1, 1}, {2, 3, 1}, {4, 4, 4}};
  for (size_t s = 0; s < GH_COUNT(seconds); s++)
    for (size_t m = 0; m < GH_COUNT(micro); m++)
      for (int64_t batch = 3; batch < 17; batch++) {
        int64_t got[3];
        double best = 1e9;
        gh_ranks_divide(got, seconds[s], micro[m], 3, batch);
        for (int64_t a = 1; a < batch - 1; a++)
          for (int64_t b = 1; a + b < batch; b++)
            best = GH_MIN(best, ends((int64_t[]){a, b, batch - a - b}, seconds[s], micro[m]));
        assert_int_equal(got[0] + got[1] + got[2], batch);
        assert_true(got[0] > 0 && got[1] > 0 && got[2] > 0);
        assert_true(ends(got, seconds[s], micro[m]) <= best);
      }
}

/* Nesterov's momentum, by hand: change 0.4, momentum 0.9 * 0.5 + 0.4 = 0.85, step 0.7 * (0.4 + 0.9 * 0.85). */
static void test_outer_step(void **state) {
  (void)state;
  float before[2] = {1, 2}, momentum[2] = {0.5f, 0};
  const float average[2] = {0.6f, 2};
  gh_outer_step(before, momentum, average, 2, 0.7, 0.9);
  assert_true(fabs((double)before[0] - 0.1845) < 1e-6 && fabs((double)momentum[0] - 0.85) < 1e-6);
  assert_true(before[1] == 2 && momentum[1] == 0);   /* all ranks stayed where they were */
  gh_outer_step(before, momentum, average, 1, 1, 0); /* the plain average */
  assert_true(fabs((double)before[0] - 0.6) < 1e-6);
}

/* NULL is one process: nothing is exchanged. */
static void test_one_process(void **state) {
  (void)state;
  gh_error err = {0};
  float value = 2;
  unsigned flags = 4;
  char *text = NULL;
  assert_int_equal(gh_comm_ranks(NULL), 1);
  assert_int_equal(gh_comm_agree(&err, NULL, GH_ERROR_FILE, "a test", &flags), GH_ERROR_FILE);
  check_ok(gh_comm_sum(&err, NULL, &(gh_sum){.values = &value, .count = 1}));
  check_ok(gh_comm_share_text(&err, NULL, &text));
  assert_true(value == 2 && flags == 4 && !text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sums),        cmocka_unit_test(test_reducer),   cmocka_unit_test(test_texts),
      cmocka_unit_test(test_agreements),  cmocka_unit_test(test_comparing), cmocka_unit_test(test_a_rank_that_hangs),
      cmocka_unit_test(test_one_process), cmocka_unit_test(test_dividing),  cmocka_unit_test(test_outer_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
