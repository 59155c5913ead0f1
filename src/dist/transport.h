/* What the communicator (dist/comm.h) asks of a message-passing library: messages between two processes, sent and
 * received without waiting. MPI is the one implementation (dist/mpi_shim.c). It is compiled against the MPI of the
 * machine into genhance_mpi.so and opened at run time: handles are pointers in one MPI and numbers in another, so a
 * program that names them works with one only. Here a handle is 64 bits that only the implementation reads. */
#ifndef GH_DIST_TRANSPORT_H
#define GH_DIST_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GH_TRANSPORT_VERSION 3
#define GH_TRANSPORT_SYMBOL  "gh_transport_mpi" /* a gh_transport_open */

typedef struct gh_transport {
  const char *name; /* of the library, as it says: "Open MPI v4.1.4" */
  int rank, ranks;
  bool threads; /* any thread may call, one at a time; else only the one that joined */
  /* Each returns 0, or a code for `text`. The data stays in place until `test` says that the request is done. Messages
   * of one tag between two ranks arrive in order. */
  int (*send)(const void *data, int bytes, int to, int tag, uint64_t *request);
  int (*receive)(void *data, int bytes, int from, int tag, uint64_t *request);
  int (*sum)(float *values, int count, uint64_t *request); /* over all ranks, in place; NULL: not offered */
  int (*test)(uint64_t *request, int *done);
  /* Whether `send` and `receive` take addresses of a device's memory of that kind ("cuda"), as the library itself says;
   * NULL: of none. */
  bool (*takes)(const char *memory);
  int (*close)(void); /* every rank calls it */
  void (*text)(int code, char *out, size_t size);
  void (*abort)(int code); /* ends all processes of the job */
} gh_transport;

/* Joins the job's other processes. `version`: the caller's GH_TRANSPORT_VERSION. Returns 0, or 1 with one line in
 * `why`. */
typedef int gh_transport_open(int version, const gh_transport **out, char *why, size_t size);

#endif
