/* The communicator: the ranks of a job that train one model together. NULL is that of a single process; every call then
 * returns at once, so that a run without MPI pays nothing.
 *
 * All ranks make the same calls in the same order. A rank that fails between two of them calls gh_comm_agree with its
 * failure; the others learn of it in their next gh_comm_agree, with its rank, host and reason. So a call that moves
 * data follows an agreement, and nothing in between may fail on one rank alone.
 *
 * A rank that does not answer within the patience, or a connection that breaks, cannot be agreed on: the call fails,
 * the text names the rank, and the whole job is ended when this process exits. */
#ifndef GH_DIST_COMM_H
#define GH_DIST_COMM_H

#include "base/status.h"
#include "dist/transport.h"

typedef struct gh_comm gh_comm;

/* Joins the other processes if a launcher of MPI started several, else *out is NULL. */
gh_status gh_comm_open(gh_error *err, gh_comm **out);
/* The same over a given transport (dist/transport.h), which must outlive *out. */
gh_status gh_comm_create(gh_error *err, const gh_transport *transport, gh_comm **out);
/* Leaves the job. Every rank calls it, after a last gh_comm_agree. NULL is fine. */
void gh_comm_close(gh_comm *comm);

int gh_comm_rank(const gh_comm *comm);  /* 0 is the one that writes */
int gh_comm_ranks(const gh_comm *comm); /* 1 for NULL */
/* The ranks of the same host, and this one's place among them. */
int gh_comm_local_rank(const gh_comm *comm);
int gh_comm_local_ranks(const gh_comm *comm);
const char *gh_comm_host(const gh_comm *comm, int rank);
const char *gh_comm_library(const gh_comm *comm); /* the MPI, as it names itself; "" for NULL */

/* From now on, an agreement or a transfer that takes longer than that fails; rank 0's answer, which waits for the
 * others' itself, may take twice as long. 0, the initial value: without limit, for while rank 0 does what only it does.
 */
void gh_comm_patience(gh_comm *comm, double seconds);
/* Seconds that this rank has waited for others, in all; on rank 0 also what each said at the last agreement. */
double gh_comm_waited(const gh_comm *comm);
double gh_comm_waited_by(const gh_comm *comm, int rank);
void gh_comm_count_wait(gh_comm *comm, double seconds); /* spent so outside of this communicator */

/* Every rank gives its own status (err has its text) and its flags (may be NULL). If all succeeded, returns GH_OK with
 * the flags of all ranks or'ed. Else all ranks return the failure of the lowest rank that failed, which the text names
 * unless all failed alike; every later agreement then returns at once what its caller gives. `what` is a few words on
 * the moment ("an update"), the same on all ranks. */
gh_status gh_comm_agree(gh_error *err, gh_comm *comm, gh_status own, const char *what, unsigned *flags);
/* This rank cannot go on in the middle of a transfer: the job ends when the process exits. */
void gh_comm_give_up(gh_comm *comm);
/* Whether the ranks agreed on a failure: rank 0 reports it, the others need not. */
bool gh_comm_agreed_failure(const gh_comm *comm);

/* Rank 0's bytes to all. */
gh_status gh_comm_broadcast(gh_error *err, gh_comm *comm, void *data, size_t bytes);
/* Bytes from one rank to another, which calls gh_comm_receive with as many. */
gh_status gh_comm_send(gh_error *err, gh_comm *comm, int to, const void *data, size_t bytes);
gh_status gh_comm_receive(gh_error *err, gh_comm *comm, int from, void *data, size_t bytes);
/* Rank 0's text (NULL stays NULL) to all; the others' *text is replaced by a copy, which the caller frees. */
gh_status gh_comm_share_text(gh_error *err, gh_comm *comm, char **text);
/* Every rank's text to rank 0: texts[rank] for all ranks, which the caller frees; on other ranks texts is not used. */
gh_status gh_comm_gather_text(gh_error *err, gh_comm *comm, const char *own, char **texts);

/* How the numbers of a sum travel and are added. */
typedef enum gh_sum_way {
  GH_SUM_ORDERED, /* float32; each number is added by one rank, in the order of ranks: the same bits whatever the timing
                   */
  GH_SUM_BF16,    /* the same, but rounded to bfloat16 before they travel, and so are the sums */
  GH_SUM_FAST     /* by the library (MPI_Allreduce), in its order */
} gh_sum_way;

/* Of one piece (0, 1, ...) of a sum (its `number`). */
typedef gh_status gh_sum_work(gh_error *err, void *user, int sum, int piece);

/* Where a sum's numbers are while they travel, if not in the host's memory: buffers of a device, whose addresses the
 * library takes (gh_comm_takes). The numbers go through them piece by piece (gh_sum_piece). Each function returns when
 * the device has done its part: what follows is the library's, or the caller's. */
typedef struct gh_sum_place {
  char *wire;  /* (a piece) this rank's numbers, then the sums: as they travel, float32 or bfloat16 */
  char *parts; /* (ranks, stride) every rank's numbers of this rank's part, from rank k's on at k * stride */
  size_t stride;
  gh_sum_work *gather;  /* wire <- the numbers, and this rank's own among the parts */
  gh_sum_work *add;     /* this rank's part of the wire, or with `scatter` of the numbers <- the parts, added in the
                           order of ranks from 0 on */
  gh_sum_work *scatter; /* the numbers <- wire */
  void *user;
} gh_sum_place;

typedef struct gh_sum {
  float *values; /* (count) <- the sums over all ranks, on every rank; not used with `place` */
  size_t count;
  const gh_sum_place *place; /* NULL: the host's memory. Ranks may differ in that. Not with GH_SUM_FAST. */
  int number;                /* of this sum, for `place` */
  const size_t *starts; /* (ranks + 1) the values [starts[r], starts[r + 1]) are rank r's part; NULL: equal parts */
  gh_sum_way way;
  bool scatter; /* each rank gets the sums of its part only; the others are left undefined. Not with GH_SUM_FAST. */
} gh_sum;

gh_status gh_comm_sum(gh_error *err, gh_comm *comm, const gh_sum *sum);
bool gh_comm_sums_fast(const gh_comm *comm); /* whether the transport has GH_SUM_FAST */
/* Whether the library takes addresses of a device's memory of that kind (gh_backend.memory). */
bool gh_comm_takes(const gh_comm *comm, const char *memory);
/* The numbers of a piece, except the last one's. */
size_t gh_sum_piece(const gh_sum *sum);
/* The numbers [*first, *first + result) of the piece that begins at `base` and has `count` are that rank's part. */
size_t gh_sum_part(const gh_sum *sum, int ranks, int rank, size_t base, size_t count, size_t *first);
/* Every rank's part of values (starts[ranks]) to all. */
gh_status gh_comm_spread(gh_error *err, gh_comm *comm, float *values, const size_t *starts);

#endif
