#include "backend/identity.h"
#include "base/log.h"
#include "dist/comm_internal.h"
#include "dist/mpi.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHAT_SIZE  40
#define PIECE      ((size_t)16 << 20) /* bytes per message of a broadcast */
#define TEXT_LIMIT ((int64_t)64 << 20)

/* ---- the ranks ---- */

int gh_comm_rank(const gh_comm *c) { return c ? c->rank : 0; }
int gh_comm_ranks(const gh_comm *c) { return c ? c->ranks : 1; }
int gh_comm_local_rank(const gh_comm *c) { return c ? c->local : 0; }
int gh_comm_local_ranks(const gh_comm *c) { return c ? c->locals : 1; }
const char *gh_comm_host(const gh_comm *c, int rank) { return c ? c->hosts[rank] : ""; }
const char *gh_comm_library(const gh_comm *c) { return c ? c->transport->name : ""; }
double gh_comm_waited(const gh_comm *c) { return c ? c->waited : 0; }
double gh_comm_waited_by(const gh_comm *c, int rank) { return c ? c->told[rank] : 0; }
bool gh_comm_agreed_failure(const gh_comm *c) { return c && c->failed; }

void gh_comm_count_wait(gh_comm *c, double seconds) {
  if (c) c->waited += seconds;
}

void gh_comm_patience(gh_comm *c, double seconds) {
  if (c) c->patience = seconds;
}

/* ---- messages ---- */

static void (*abort_all)(int code);
static void abort_job(void) { abort_all(1); }

/* main() prints the reason; then, as the process exits, all others end. */
gh_status gh_comm_break_off(gh_comm *c, gh_status status) {
  c->broken = true;
  if (!abort_all) atexit(abort_job);
  abort_all = c->transport->abort;
  return status;
}

gh_status gh_comm_check(gh_error *err, const gh_comm *c) {
  return c->broken ? gh_fail(err, GH_ERROR_DEVICE, "the connection among the ranks is broken") : GH_OK;
}

void gh_comm_give_up(gh_comm *c) { gh_comm_break_off(c, GH_ERROR_DEVICE); }

gh_status gh_comm_broke(gh_error *err, gh_comm *c, int code, int peer) {
  char text[256];
  c->transport->text(code, text, sizeof text);
  if (peer < 0) return gh_comm_break_off(c, gh_fail(err, GH_ERROR_DEVICE, "a sum over all ranks broke: %s", text));
  return gh_comm_break_off(
      c, gh_fail(err, GH_ERROR_DEVICE, "the connection to rank %d on %s broke: %s", peer, c->hosts[peer], text));
}

gh_status gh_comm_begin_send(gh_error *err, gh_comm *c, gh_message *m, const void *data, size_t bytes, int to,
                             int tag) {
  *m = (gh_message){.peer = to};
  int code = c->transport->send(data, (int)bytes, to, tag, &m->request);
  return code ? gh_comm_broke(err, c, code, to) : GH_OK;
}

gh_status gh_comm_begin_receive(gh_error *err, gh_comm *c, gh_message *m, void *data, size_t bytes, int from, int tag) {
  *m = (gh_message){.peer = from, .incoming = true};
  int code = c->transport->receive(data, (int)bytes, from, tag, &m->request);
  return code ? gh_comm_broke(err, c, code, from) : GH_OK;
}

/* Names the ranks that did not send; where all did, those that did not receive. */
static gh_status late(gh_error *err, gh_comm *c, const gh_message *messages, int count, double patience,
                      const char *what) {
  int first = -1, others = 0;
  bool incoming = false;
  for (int i = 0; i < count; i++) incoming |= messages[i].incoming && !messages[i].done;
  for (int i = 0; i < count; i++) {
    if (messages[i].done || messages[i].incoming != incoming) continue;
    if (first < 0)
      first = messages[i].peer;
    else
      others++;
  }
  char more[32] = "";
  if (first < 0)
    return gh_comm_break_off(c, gh_fail(err, GH_ERROR_DEVICE,
                                        "a rank did not answer within %g s (%s; MPI_Allreduce does not say which); the "
                                        "job ends, and --resume continues from the last saved state",
                                        patience, what));
  if (others) snprintf(more, sizeof more, " and %d other%s", others, others > 1 ? "s" : "");
  return gh_comm_break_off(
      c, gh_fail(err, GH_ERROR_DEVICE,
                 "rank %d on %s%s did not answer within %g s (%s); the job ends, and --resume continues "
                 "from the last saved state",
                 first, c->hosts[first], more, patience, what));
}

/* Processors may be shared by more ranks than there are, so waiting leaves them to others. */
static void pause_between_tests(double waited) {
  if (waited < 1e-4)
    sched_yield();
  else
    nanosleep(&(struct timespec){.tv_nsec = waited < 0.1 ? 50000 : 1000000}, NULL);
}

gh_status gh_comm_finish(gh_error *err, gh_comm *c, gh_message *messages, int count, double patience,
                         const char *what) {
  const double began = gh_now();
  for (double waited = 0;; waited = gh_now() - began) {
    int left = 0;
    for (int i = 0; i < count; i++) {
      gh_message *m = &messages[i];
      if (m->done) continue;
      int done = 0, code = c->transport->test(&m->request, &done);
      if (code) return gh_comm_broke(err, c, code, m->peer);
      m->done = done != 0;
      left += !done;
    }
    if (!left) {
      c->waited += waited;
      return GH_OK;
    }
    if (patience > 0 && waited > patience) return late(err, c, messages, count, patience, what);
    pause_between_tests(waited);
  }
}

/* ---- agreement ---- */

/* What each rank says to rank 0, and rank 0's answer. */
typedef struct opinion {
  uint32_t number, flags;
  int32_t status;
  double waited;
  char what[WHAT_SIZE], text[GH_ERROR_TEXT_SIZE];
} opinion;

/* The answer to the opinions of all ranks. */
static void decide(const gh_comm *c, const opinion *of, opinion *answer) {
  int failed = -1, alike = 0;
  *answer = (opinion){.number = of[0].number};
  for (int i = 0; i < c->ranks; i++) {
    answer->flags |= of[i].flags;
    if (of[i].status && failed < 0) failed = i;
    alike += of[i].status == of[0].status;
  }
  if (failed >= 0) {
    answer->status = of[failed].status;
    if (alike == c->ranks)
      memcpy(answer->text, of[failed].text, sizeof answer->text);
    else
      snprintf(answer->text, sizeof answer->text, "rank %d on %s: %.900s", failed, c->hosts[failed], of[failed].text);
    return;
  }
  for (int i = 1; i < c->ranks; i++) {
    if (of[i].number == of[0].number && !strcmp(of[i].what, of[0].what)) continue;
    answer->status = GH_ERROR_DEVICE;
    snprintf(answer->text, sizeof answer->text,
             "rank %d on %s is at another point of the run (%u, %s) than rank 0 (%u, %s)", i, c->hosts[i], of[i].number,
             of[i].what, of[0].number, of[0].what);
    return;
  }
}

static gh_status preside(gh_error *err, gh_comm *c, const opinion *own, opinion *answer) {
  opinion *all = gh_alloc(err, (size_t)c->ranks, sizeof *all);
  gh_message *messages = gh_alloc(err, (size_t)c->ranks, sizeof *messages);
  gh_status status = all && messages ? GH_OK : gh_comm_break_off(c, GH_ERROR_MEMORY);
  for (int i = 1; i < c->ranks && !status; i++)
    status = gh_comm_begin_receive(err, c, &messages[i - 1], &all[i], sizeof all[i], i, GH_TAG_AGREE);
  if (!status) status = gh_comm_finish(err, c, messages, c->ranks - 1, c->patience, own->what);
  if (!status) {
    all[0] = *own;
    for (int i = 1; i < c->ranks; i++) all[i].what[WHAT_SIZE - 1] = all[i].text[GH_ERROR_TEXT_SIZE - 1] = 0;
    for (int i = 0; i < c->ranks; i++) c->told[i] = all[i].waited;
    decide(c, all, answer);
  }
  for (int i = 1; i < c->ranks && !status; i++)
    status = gh_comm_begin_send(err, c, &messages[i - 1], answer, sizeof *answer, i, GH_TAG_AGREE);
  if (!status) status = gh_comm_finish(err, c, messages, c->ranks - 1, c->patience, own->what);
  free(messages);
  free(all);
  return status;
}

static gh_status follow(gh_error *err, gh_comm *c, const opinion *own, opinion *answer) {
  gh_message messages[2];
  const double patience = c->patience > 0 ? 2 * c->patience + 5 : 0;
  gh_status status = gh_comm_begin_send(err, c, &messages[0], own, sizeof *own, 0, GH_TAG_AGREE);
  if (!status) status = gh_comm_begin_receive(err, c, &messages[1], answer, sizeof *answer, 0, GH_TAG_AGREE);
  if (!status) status = gh_comm_finish(err, c, messages, 2, patience, own->what);
  answer->text[GH_ERROR_TEXT_SIZE - 1] = 0;
  return status;
}

gh_status gh_comm_agree(gh_error *err, gh_comm *c, gh_status own, const char *what, unsigned *flags) {
  if (!c || c->failed || c->broken) return own;
  opinion mine = {.number = ++c->agreements, .flags = flags ? *flags : 0, .status = (int32_t)own, .waited = c->waited},
          answer = {0};
  snprintf(mine.what, sizeof mine.what, "%s", what);
  if (own) snprintf(mine.text, sizeof mine.text, "%s", err->text);
  gh_status status = c->rank ? follow(err, c, &mine, &answer) : preside(err, c, &mine, &answer);
  if (status) return status;
  if (flags) *flags = answer.flags;
  if (!answer.status) return GH_OK;
  c->failed = true;
  return gh_fail(err, (gh_status)answer.status, "%s", answer.text);
}

/* ---- data ---- */

/* A binomial tree: rank r has its data from the rank without r's lowest bit, and gives it on with each lower bit. */
static gh_status broadcast_piece(gh_error *err, gh_comm *c, char *data, size_t bytes) {
  gh_message messages[32];
  gh_status status = GH_OK;
  int count = 0, lowest = c->rank ? c->rank & -c->rank : 1 << 30;
  if (c->rank) {
    status = gh_comm_begin_receive(err, c, &messages[0], data, bytes, c->rank & (c->rank - 1), GH_TAG_DATA);
    if (!status) status = gh_comm_finish(err, c, messages, 1, c->patience, "data of rank 0");
  }
  for (int bit = lowest / 2; bit > 0 && !status; bit /= 2)
    if (c->rank + bit < c->ranks)
      status = gh_comm_begin_send(err, c, &messages[count++], data, bytes, c->rank + bit, GH_TAG_DATA);
  return status ? status : gh_comm_finish(err, c, messages, count, c->patience, "data of rank 0");
}

gh_status gh_comm_broadcast(gh_error *err, gh_comm *c, void *data, size_t bytes) {
  gh_status status = c ? gh_comm_check(err, c) : GH_OK;
  for (size_t at = 0; c && at < bytes && !status; at += PIECE)
    status = broadcast_piece(err, c, (char *)data + at, GH_MIN(PIECE, bytes - at));
  return status;
}

gh_status gh_comm_send(gh_error *err, gh_comm *c, int to, const void *data, size_t bytes) {
  gh_status status = gh_comm_check(err, c);
  for (size_t at = 0; at < bytes && !status; at += PIECE) {
    gh_message m;
    status = gh_comm_begin_send(err, c, &m, (const char *)data + at, GH_MIN(PIECE, bytes - at), to, GH_TAG_DATA);
    if (!status) status = gh_comm_finish(err, c, &m, 1, c->patience, "data of another rank");
  }
  return status;
}

gh_status gh_comm_receive(gh_error *err, gh_comm *c, int from, void *data, size_t bytes) {
  gh_status status = gh_comm_check(err, c);
  for (size_t at = 0; at < bytes && !status; at += PIECE) {
    gh_message m;
    status = gh_comm_begin_receive(err, c, &m, (char *)data + at, GH_MIN(PIECE, bytes - at), from, GH_TAG_DATA);
    if (!status) status = gh_comm_finish(err, c, &m, 1, c->patience, "data of another rank");
  }
  return status;
}

/* A length from another rank, before memory is taken for it. */
static gh_status check_length(gh_error *err, gh_comm *c, int64_t length) {
  if (length >= -1 && length <= TEXT_LIMIT) return GH_OK;
  return gh_comm_break_off(c, gh_fail(err, GH_ERROR_DEVICE, "a text of %lld bytes among the ranks", (long long)length));
}

gh_status gh_comm_share_text(gh_error *err, gh_comm *c, char **text) {
  if (!c) return GH_OK;
  int64_t length = *text ? (int64_t)strlen(*text) : -1;
  gh_status status = gh_comm_broadcast(err, c, &length, sizeof length);
  if (!status) status = check_length(err, c, length);
  if (status) return status;
  if (c->rank) {
    free(*text);
    *text = NULL;
  }
  if (length < 0) return GH_OK;
  if (c->rank && !(*text = gh_alloc(err, (size_t)length + 1, 1))) return gh_comm_break_off(c, GH_ERROR_MEMORY);
  return gh_comm_broadcast(err, c, *text, (size_t)length);
}

static gh_status send_text(gh_error *err, gh_comm *c, const char *text) {
  gh_message messages[2];
  int64_t length = (int64_t)strlen(text);
  gh_status status = check_length(err, c, length);
  if (!status) status = gh_comm_begin_send(err, c, &messages[0], &length, sizeof length, 0, GH_TAG_DATA);
  if (!status) status = gh_comm_begin_send(err, c, &messages[1], text, (size_t)length, 0, GH_TAG_DATA);
  return status ? status : gh_comm_finish(err, c, messages, 2, c->patience, "text for rank 0");
}

static gh_status receive_text(gh_error *err, gh_comm *c, int from, char **text) {
  gh_message m;
  int64_t length = 0;
  gh_status status = gh_comm_begin_receive(err, c, &m, &length, sizeof length, from, GH_TAG_DATA);
  if (!status) status = gh_comm_finish(err, c, &m, 1, c->patience, "text for rank 0");
  if (!status) status = check_length(err, c, length);
  if (status) return status;
  if (!(*text = gh_alloc(err, (size_t)GH_MAX(length, 0) + 1, 1))) return gh_comm_break_off(c, GH_ERROR_MEMORY);
  status = gh_comm_begin_receive(err, c, &m, *text, (size_t)GH_MAX(length, 0), from, GH_TAG_DATA);
  return status ? status : gh_comm_finish(err, c, &m, 1, c->patience, "text for rank 0");
}

gh_status gh_comm_gather_text(gh_error *err, gh_comm *c, const char *own, char **texts) {
  if (c && c->rank) return send_text(err, c, own);
  gh_status status = (texts[0] = gh_strdup(err, own)) ? GH_OK : GH_ERROR_MEMORY;
  if (status && c) return gh_comm_break_off(c, status);
  for (int i = 1; i < gh_comm_ranks(c) && !status; i++) status = receive_text(err, c, i, &texts[i]);
  return status;
}

/* ---- life ---- */

/* Every rank learns every rank's host. */
static gh_status exchange_hosts(gh_error *err, gh_comm *c) {
  char own[GH_HOST_SIZE] = "";
  char **texts = gh_alloc(err, (size_t)c->ranks, sizeof *texts);
  if (!texts) return gh_comm_break_off(c, GH_ERROR_MEMORY);
  gh_host_name(own, sizeof own);
  gh_status status = gh_comm_gather_text(err, c, own, texts);
  for (int i = 0; i < c->ranks && !c->rank && !status; i++) snprintf(c->hosts[i], GH_HOST_SIZE, "%s", texts[i]);
  if (!status) status = gh_comm_broadcast(err, c, c->hosts, (size_t)c->ranks * GH_HOST_SIZE);
  for (int i = 0; i < c->ranks && !status; i++) {
    c->hosts[i][GH_HOST_SIZE - 1] = 0;
    bool same = !strcmp(c->hosts[i], c->hosts[c->rank]);
    c->locals += same;
    c->local += same && i < c->rank;
  }
  for (int i = 0; i < c->ranks; i++) free(texts[i]);
  free(texts);
  return status;
}

gh_status gh_comm_create(gh_error *err, const gh_transport *transport, gh_comm **out) {
  *out = NULL;
  gh_comm *c = gh_alloc(err, 1, sizeof *c);
  if (!c) return GH_ERROR_MEMORY;
  *c = (gh_comm){.transport = transport, .rank = transport->rank, .ranks = transport->ranks};
  c->hosts = gh_alloc(err, (size_t)c->ranks, sizeof *c->hosts);
  c->told = gh_alloc(err, (size_t)c->ranks, sizeof *c->told);
  gh_status status = c->hosts && c->told ? exchange_hosts(err, c) : gh_comm_break_off(c, GH_ERROR_MEMORY);
  if (status)
    gh_comm_close(c);
  else
    *out = c;
  return status;
}

gh_status gh_comm_open(gh_error *err, gh_comm **out) {
  const char *by;
  const gh_transport *transport = NULL;
  *out = NULL;
  const int processes = gh_mpi_launched(&by);
  if (processes == 1) return GH_OK;
  gh_status status = gh_mpi_open(err, &transport);
  if (status) return status;
  if (transport->ranks > 1) return gh_comm_create(err, transport, out);
  status = gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s says that %d processes were started, but %s sees only this one: the launcher is of another MPI "
                   "(srun needs --mpi=pmix or --mpi=pmi2)",
                   by, processes, transport->name);
  transport->close();
  return status;
}

void gh_comm_close(gh_comm *c) {
  if (!c) return;
  if (!c->broken) c->transport->close();
  free(c->hosts);
  free(c->told);
  free(c);
}
