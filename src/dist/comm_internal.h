/* Shared by the files of src/dist: the communicator's parts and its messages. */
#ifndef GH_DIST_COMM_INTERNAL_H
#define GH_DIST_COMM_INTERNAL_H

#include "dist/comm.h"

#define GH_HOST_SIZE 64

/* Apart, so that a rank that agrees is never taken for one that sends. */
enum { GH_TAG_AGREE = 1, GH_TAG_DATA };

struct gh_comm {
  const gh_transport *transport;
  int rank, ranks, local, locals;
  char (*hosts)[GH_HOST_SIZE]; /* (ranks) */
  double patience, waited;
  double *told; /* (ranks) what each had waited at the last agreement; on rank 0 */
  uint32_t agreements;
  bool failed; /* the ranks agreed on a failure */
  bool broken; /* a rank does not answer: no further call */
};

/* One message on its way. */
typedef struct gh_message {
  uint64_t request;
  int peer; /* -1: all */
  bool incoming, done;
} gh_message;

/* Fails where the communicator is broken: a transfer would wait for the rank that is lost once more. */
gh_status gh_comm_check(gh_error *err, const gh_comm *c);
gh_status gh_comm_begin_send(gh_error *err, gh_comm *c, gh_message *m, const void *data, size_t bytes, int to, int tag);
gh_status gh_comm_begin_receive(gh_error *err, gh_comm *c, gh_message *m, void *data, size_t bytes, int from, int tag);
/* Waits until all are done; `what` is for the text where a rank lets the others wait for more than the patience. */
gh_status gh_comm_finish(gh_error *err, gh_comm *c, gh_message *messages, int count, double patience, const char *what);
/* This rank alone knows that something is wrong: no further call, and the job ends when the process exits. Returns
 * `status`. */
gh_status gh_comm_break_off(gh_comm *c, gh_status status);
gh_status gh_comm_broke(gh_error *err, gh_comm *c, int code, int peer); /* the same for a code of the transport */

#endif
