/* Sums over ranks while the device computes: a thread makes them, one after the other, in the order in which they are
 * given. From gh_reducer_begin to the end of gh_reducer_wait the communicator is the thread's: no other call on it.
 * Where the transport belongs to one thread, gh_reducer_wait does the work itself. */
#ifndef GH_DIST_REDUCER_H
#define GH_DIST_REDUCER_H

#include "dist/comm.h"

typedef struct gh_reducer gh_reducer;

/* For at most `most` sums at a time. Nothing is exchanged. */
gh_status gh_reducer_create(gh_error *err, gh_reducer **out, gh_comm *comm, int most);
void gh_reducer_free(gh_reducer *r); /* NULL is fine */
bool gh_reducer_overlaps(const gh_reducer *r);

/* First an agreement (gh_comm_agree): every rank says whether it can give its values (own; why has the text) and its
 * flags. If one cannot, no sum is made. */
void gh_reducer_begin(gh_reducer *r, gh_status own, const gh_error *why, const char *what, unsigned flags);
/* The values belong to the sum until gh_reducer_wait. Every rank gives the same sums in the same order. */
void gh_reducer_add(gh_reducer *r, const gh_sum *sum);
/* Waits for all that was given. Returns the agreement's failure, or that of a transfer, after which the job ends;
 * flags: the agreement's. What this call takes is what counts as waiting (gh_comm_waited). */
gh_status gh_reducer_wait(gh_error *err, gh_reducer *r, unsigned *flags);

#endif
