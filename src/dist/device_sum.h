/* Sums over ranks of numbers that stay in a device's memory: the ranks' library (a CUDA-aware MPI) takes its addresses,
 * and the device itself adds, in the order of ranks, so that the bits are those of a sum in the host's memory. Other
 * ranks may sum in theirs.
 *
 * Numbers are packed into one buffer, piece by piece, and travel from there: as many bytes in as many messages as from
 * the host's memory. A second queue of the device packs and adds, beside the commands. It has finished before the
 * library reads or writes a buffer, and begins after the library is done; so it has with the last sum when
 * gh_reducer_wait returns, and what is enqueued then has the sums. */
#ifndef GH_DIST_DEVICE_SUM_H
#define GH_DIST_DEVICE_SUM_H

#include "backend/backend.h"
#include "dist/comm.h"

typedef struct gh_device_sum gh_device_sum;

/* The numbers of one sum: of all buffers, one after the other. */
typedef struct gh_device_numbers {
  gh_buffer **buffers;
  int64_t *counts; /* float32 numbers of each */
  int count;
  const size_t *starts; /* as in gh_sum */
} gh_device_numbers;

/* GH_OK, or GH_ERROR_UNSUPPORTED: why the library and the device cannot do it in that way. */
gh_status gh_device_sum_check(gh_error *err, const gh_comm *comm, const gh_device *device, gh_sum_way way);

/* Binds sums 0 to count - 1, all in the same `way`; with starts, all are scattered (gh_sum). Free with
 * gh_device_sum_free, after a failure too, before the buffers. Nothing is exchanged. GH_ERROR_UNSUPPORTED names the
 * bytes where the parts of all ranks would take too many. */
gh_status gh_device_sum_create(gh_error *err, gh_device_sum **out, const gh_comm *comm, gh_device *device,
                               const gh_device_numbers *sums, int count, gh_sum_way way);
void gh_device_sum_free(gh_device_sum *s); /* NULL is fine */

int64_t gh_device_sum_bytes(const gh_device_sum *s); /* of device memory, beside the numbers */
/* A sum's numbers are complete once the commands enqueued so far have run. By the thread of the device. */
gh_status gh_device_sum_ready(gh_error *err, gh_device_sum *s, int sum);
/* For gh_sum.place. */
const gh_sum_place *gh_device_sum_place(const gh_device_sum *s);

#endif
