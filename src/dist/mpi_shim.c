/* genhance_mpi.so: the transport (dist/transport.h) over the MPI that it is compiled against. It is no part of the
 * program and uses nothing of it. By hand: mpicc -shared -fPIC -I src -o genhance_mpi.so src/dist/mpi_shim.c */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "dist/transport.h"

#include <dlfcn.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(MPI_Request) <= sizeof(uint64_t), "a request fits the transport's handle");
_Static_assert(MPI_SUCCESS == 0, "the transport's code for success is 0");

static gh_transport transport;
static char library[MPI_MAX_LIBRARY_VERSION_STRING];

static int mpi_send(const void *data, int bytes, int to, int tag, uint64_t *request) {
  MPI_Request handle;
  int code = MPI_Isend(data, bytes, MPI_BYTE, to, tag, MPI_COMM_WORLD, &handle);
  memcpy(request, &handle, sizeof handle);
  return code;
}

static int mpi_receive(void *data, int bytes, int from, int tag, uint64_t *request) {
  MPI_Request handle;
  int code = MPI_Irecv(data, bytes, MPI_BYTE, from, tag, MPI_COMM_WORLD, &handle);
  memcpy(request, &handle, sizeof handle);
  return code;
}

static int mpi_sum(float *values, int count, uint64_t *request) {
  MPI_Request handle;
  int code = MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &handle);
  memcpy(request, &handle, sizeof handle);
  return code;
}

static int mpi_test(uint64_t *request, int *done) {
  MPI_Request handle;
  memcpy(&handle, request, sizeof handle);
  int code = MPI_Test(&handle, done, MPI_STATUS_IGNORE);
  memcpy(request, &handle, sizeof handle);
  return code;
}

static void mpi_text(int code, char *out, size_t size) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length;
  if (MPI_Error_string(code, text, &length)) snprintf(text, sizeof text, "error %d", code);
  snprintf(out, size, "%s", text);
}

/* ---- device memory ---- */

/* What a library says of itself may be how it was built. It also has switches, in the environment of every rank: one
 * that is on unless it says no, or one that must say 1. */
static const struct {
  const char *library, *variable;
  bool must;
} switches[] = {{"Open MPI", "OMPI_MCA_opal_cuda_support", false},
                {"Open MPI", "OMPI_MCA_mpi_cuda_support", false},
                {"MVAPICH2", "MV2_USE_CUDA", true},
                {"CRAY MPICH", "MPICH_GPU_SUPPORT_ENABLED", true}};

static bool switched_on(void) {
  for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
    const char *set = getenv(switches[i].variable);
    if (!strstr(library, switches[i].library)) continue;
    if (switches[i].must ? !set || strcmp(set, "1") : set && *set && strchr("0fFnN", *set)) return false;
  }
  return true;
}

/* MPICH's function and then Open MPI's and MVAPICH's, looked up at run time, as no header has them everywhere. Some
 * MPICH have the second one, too, with an assertion that fails where it succeeds. */
static bool mpi_takes(const char *memory) {
  int (*ask)(int kind, int *answer) = NULL;
  int (*query)(void) = NULL;
  int answer = 0;
  if (strcmp(memory, "cuda") || !switched_on()) return false;
  *(void **)&ask = dlsym(RTLD_DEFAULT, "MPIX_GPU_query_support");
  *(void **)&query = dlsym(RTLD_DEFAULT, "MPIX_Query_cuda_support");
  if (ask) return !ask(0 /* MPIX_GPU_SUPPORT_CUDA */, &answer) && answer == 1;
  return query && query() == 1;
}

static void mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

/* By default Open MPI's receiver asks for each fragment of a message over TCP. Where data travel in both directions, as
 * in a sum, each request waits behind them: of a link of 50 Mbit/s a sum used 25, and 45 when fragments are sent
 * unasked. What the user sets is kept. */
static void prepare_tcp(void) {
#ifdef OPEN_MPI
  setenv("OMPI_MCA_btl_tcp_flags", "send", 0);
#endif
}

/* MPI_THREAD_SERIALIZED lets gradients travel while the main thread computes. MPI_THREAD_FUNNELED is the least that
 * works: only the main thread calls MPI, but the process has other threads. */
static int join(char *why, size_t size) {
  int threads = MPI_THREAD_SINGLE;
  prepare_tcp();
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &threads)) {
    snprintf(why, size, "%s does not start", library);
    return 1;
  }
  if (threads < MPI_THREAD_FUNNELED) {
    MPI_Finalize();
    snprintf(why, size, "%s was built without support for threads, which genhance needs (MPI_THREAD_FUNNELED)",
             library);
    return 1;
  }
  transport.threads = threads >= MPI_THREAD_SERIALIZED;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &transport.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &transport.ranks);
  return 0;
}

__attribute__((visibility("default"))) gh_transport_open gh_transport_mpi;

int gh_transport_mpi(int version, const gh_transport **out, char *why, size_t size) {
  int major = 0, minor = 0, length = 0;
  *out = NULL;
  if (version != GH_TRANSPORT_VERSION) {
    snprintf(why, size, "it is of another version of genhance (interface %d, not %d)", GH_TRANSPORT_VERSION, version);
    return 1;
  }
  MPI_Get_version(&major, &minor);
  if (major < 3) {
    snprintf(why, size, "it speaks MPI %d.%d, which is too old: genhance needs MPI 3.0", major, minor);
    return 1;
  }
  MPI_Get_library_version(library, &length);
  library[strcspn(library, ",\n")] = 0;                               /* more lines and packagers follow */
  for (char *tab; (tab = strchr(library, '\t')) != NULL;) *tab = ' '; /* "MPICH Version:\t4.0.2" */
  if (join(why, size)) return 1;
  transport.name = library;
  transport.send = mpi_send;
  transport.receive = mpi_receive;
  transport.sum = mpi_sum;
  transport.test = mpi_test;
  transport.takes = mpi_takes;
  transport.close = MPI_Finalize;
  transport.text = mpi_text;
  transport.abort = mpi_abort;
  *out = &transport;
  return 0;
}
