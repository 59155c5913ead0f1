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
/* Seconds that this rank has waited for others, in all. */
double gh_comm_waited(const gh_comm *comm);

/* Every rank gives its own status (err has its text) and its flags (may be NULL). If all succeeded, returns GH_OK with
 * the flags of all ranks or'ed. Else all ranks return the failure of the lowest rank that failed, which the text names
 * unless all failed alike; every later agreement then returns at once what its caller gives. `what` is a few words on
 * the moment ("an update"), the same on all ranks. */
gh_status gh_comm_agree(gh_error *err, gh_comm *comm, gh_status own, const char *what, unsigned *flags);
/* Whether the ranks agreed on a failure: rank 0 reports it, the others need not. */
bool gh_comm_agreed_failure(const gh_comm *comm);

/* Rank 0's bytes to all. */
gh_status gh_comm_broadcast(gh_error *err, gh_comm *comm, void *data, size_t bytes);
/* Rank 0's text (NULL stays NULL) to all; the others' *text is replaced by a copy, which the caller frees. */
gh_status gh_comm_share_text(gh_error *err, gh_comm *comm, char **text);
/* Every rank's text to rank 0: texts[rank] for all ranks, which the caller frees; on other ranks texts is not used. */
gh_status gh_comm_gather_text(gh_error *err, gh_comm *comm, const char *own, char **texts);

/* values (count) <- the sum over all ranks, on every rank. Each number is added by one rank, in the order of ranks, so
 * that the sum has the same bits whatever the timing. */
gh_status gh_comm_sum(gh_error *err, gh_comm *comm, float *values, size_t count);

#endif
