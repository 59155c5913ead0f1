/* Preloaded: an MPI of version 2.2 (GH_OLD_MPI=version), or one without threads (GH_OLD_MPI=threads). */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static int is(const char *what) {
  const char *wanted = getenv("GH_OLD_MPI");
  return wanted && !strcmp(wanted, what);
}

__attribute__((visibility("default"))) int MPI_Get_version(int *major, int *minor) {
  int code = PMPI_Get_version(major, minor);
  if (is("version")) *major = *minor = 2;
  return code;
}

__attribute__((visibility("default"))) int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
  int code = PMPI_Init_thread(argc, argv, required, provided);
  if (is("threads")) *provided = MPI_THREAD_SINGLE;
  return code;
}
