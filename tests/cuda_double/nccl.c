/* NCCL's double: processes of this machine, which add in shared memory. Ranks are added from the last to the first, so
 * that the sums differ in bits from those of genhance's own order. As NCCL does, it refuses two processes on one
 * device, sums in an aborted group, and memory that is not the device's. */
#include "double.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

GH_CUDA_NCCL(DECLARE)

enum { UNHANDLED_CUDA_ERROR = 1, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6 };

#define MAX_RANKS 8
#define PIECE     65536 /* floats */
#define PATIENCE  60    /* seconds; a real NCCL waits for ever */

typedef struct shared {
  atomic_uint arrived, round; /* of a barrier */
  int devices[MAX_RANKS];
  float values[MAX_RANKS][PIECE];
} shared;

struct ncclComm {
  shared *memory;
  int rank, ranks;
};

static __thread int groups;

/* ---- processes ---- */

static bool meet(ncclComm_t c) {
  shared *m = c->memory;
  const unsigned round = atomic_load(&m->round);
  if (atomic_fetch_add(&m->arrived, 1) + 1 == (unsigned)c->ranks) {
    atomic_store(&m->arrived, 0);
    atomic_fetch_add(&m->round, 1);
    return true;
  }
  for (const time_t began = time(NULL); atomic_load(&m->round) == round; sched_yield())
    if (time(NULL) - began > PATIENCE) return false;
  return true;
}

unsigned ncclGetVersion(int *version) {
  *version = 22105;
  return double_fault(__func__, SYSTEM_ERROR);
}

const char *ncclGetErrorString(unsigned result) {
  return result == INVALID_USAGE ? "invalid usage" : result == SYSTEM_ERROR ? "unhandled system error" : "an error";
}

unsigned ncclGetUniqueId(ncclUniqueId *id) {
  static int made;
  memset(id, 0, sizeof *id);
  snprintf(id->internal, sizeof id->internal, "/genhance-nccl-double-%d-%d", (int)getpid(), made++);
  return double_fault(__func__, SYSTEM_ERROR);
}

unsigned ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank) {
  const unsigned fault = double_fault(__func__, SYSTEM_ERROR);
  if (fault) return fault;
  if (ranks < 1 || ranks > MAX_RANKS || rank < 0 || rank >= ranks) return INVALID_ARGUMENT;
  if (!gh_double_context()) return double_refuse(UNHANDLED_CUDA_ERROR, "NCCL: no context");
  ncclComm_t c = calloc(1, sizeof *c);
  const int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (!c || file < 0 || ftruncate(file, sizeof(shared))) return SYSTEM_ERROR;
  void *memory = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return SYSTEM_ERROR;
  *c = (struct ncclComm){memory, rank, ranks};
  c->memory->devices[rank] = gh_double_ordinal();
  if (!meet(c)) return SYSTEM_ERROR;
  shm_unlink(id.internal);
  for (int i = 0; i < ranks; i++)
    if (i != rank && c->memory->devices[i] == c->memory->devices[rank])
      return double_refuse(INVALID_USAGE, "NCCL: ranks %d and %d have the same device", rank, i);
  *comm = c;
  return GH_NCCL_SUCCESS;
}

unsigned ncclCommAbort(ncclComm_t comm) {
  munmap(comm->memory, sizeof(shared));
  free(comm);
  return double_fault(__func__, SYSTEM_ERROR);
}

unsigned ncclCommGetAsyncError(ncclComm_t comm, unsigned *result) {
  *result = comm ? GH_NCCL_SUCCESS : INVALID_ARGUMENT;
  return double_fault(__func__, REMOTE_ERROR);
}

/* ---- sums ---- */

typedef struct sum {
  ncclComm_t comm;
  float *values;
  size_t count;
} sum;

static unsigned run_sum(const void *data) {
  const sum *s = data;
  shared *m = s->comm->memory;
  for (size_t at = 0, n; at < s->count; at += n) {
    n = s->count - at < PIECE ? s->count - at : PIECE;
    memcpy(m->values[s->comm->rank], s->values + at, n * sizeof(float));
    if (!meet(s->comm)) return CODE_LAUNCH_FAILED;
    for (size_t i = 0; i < n; i++) {
      float total = m->values[s->comm->ranks - 1][i];
      for (int rank = s->comm->ranks - 2; rank >= 0; rank--) total += m->values[rank][i];
      s->values[at + i] = total;
    }
    if (!meet(s->comm)) return CODE_LAUNCH_FAILED;
  }
  return GH_CU_SUCCESS;
}

unsigned ncclGroupStart(void) {
  groups++;
  return double_fault(__func__, SYSTEM_ERROR);
}

unsigned ncclGroupEnd(void) {
  if (!groups) return INVALID_USAGE;
  groups--;
  return double_fault(__func__, SYSTEM_ERROR);
}

unsigned ncclAllReduce(const void *from, void *to, size_t count, unsigned type, unsigned op, ncclComm_t comm,
                       CUstream stream) {
  const unsigned fault = double_fault(__func__, SYSTEM_ERROR);
  if (fault) return fault;
  if (from != to || type != GH_NCCL_FLOAT32 || op != GH_NCCL_SUM || !comm || !groups)
    return double_refuse(INVALID_ARGUMENT, "NCCL: not a sum of float32 in place and in a group of calls");
  if (!gh_double_is_device(to, count * sizeof(float)))
    return double_refuse(INVALID_ARGUMENT, "NCCL: %zu numbers outside device memory", count);
  const sum s = {comm, to, count};
  return gh_double_submit(stream, run_sum, &s, sizeof s) ? UNHANDLED_CUDA_ERROR : GH_NCCL_SUCCESS;
}
