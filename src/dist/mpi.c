#include "dist/mpi.h"
#include "base/file.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "genhance_mpi.so"

/* Open MPI; MPICH, Intel MPI and srun with PMI; MVAPICH; srun with PMIx, which tells no number itself. */
static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};

int gh_mpi_launched(const char **by) {
  const char *off = getenv("GH_MPI");
  *by = "";
  if (off && !strcmp(off, "off")) return 1;
  for (size_t i = 0; i < GH_COUNT(sizes); i++) {
    const char *text = getenv(sizes[i]);
    long processes = text ? strtol(text, NULL, 10) : 1;
    if (processes < 2 || processes > INT_MAX) continue;
    *by = sizes[i];
    return (int)processes;
  }
  return 1;
}

/* The first of the places where the file is; NULL with an error if it is at none. */
static char *find(gh_error *err) {
  const char *named = getenv("GH_MPI");
  char program[PATH_MAX] = "", places[2][PATH_MAX + sizeof GH_LIBRARY_FOLDER + 32];
  if (named && *named) return gh_strdup(err, named);
  if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) program[0] = 0;
  char *slash = strrchr(program, '/');
  if (slash) *slash = 0;
  snprintf(places[0], sizeof places[0], "%s/" FILE_NAME, program);
  snprintf(places[1], sizeof places[1], "%s/../" GH_LIBRARY_FOLDER "/genhance/" FILE_NAME, program);
  for (size_t i = 0; i < GH_COUNT(places); i++)
    if (gh_path_is_file(places[i])) return gh_strdup(err, places[i]);
  gh_fail(err, GH_ERROR_UNSUPPORTED,
          "several processes were started by MPI, but there is no " FILE_NAME " in %s: build genhance where an MPI is "
          "installed, or name the file in GH_MPI (GH_MPI=off: each process trains by itself)",
          program);
  return NULL;
}

gh_status gh_mpi_open(gh_error *err, const gh_transport **out) {
  char why[512] = "";
  char *path = find(err);
  if (!path) return err->status;
  gh_status status = GH_OK;
  void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* MPI's own parts look for its symbols */
  gh_transport_open *open_it = NULL;
  if (!library)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "MPI: %s", dlerror());
  else if (!(*(void **)&open_it = dlsym(library, GH_TRANSPORT_SYMBOL)))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "MPI: %s has no " GH_TRANSPORT_SYMBOL ": it is not genhance's", path);
  else if (open_it(GH_TRANSPORT_VERSION, out, why, sizeof why))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "MPI: %s: %s", path, why);
  free(path);
  return status;
}
