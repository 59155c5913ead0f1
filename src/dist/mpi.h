/* Finds out whether a launcher of MPI (mpirun, srun) started this process, and opens genhance_mpi.so. */
#ifndef GH_DIST_MPI_H
#define GH_DIST_MPI_H

#include "base/status.h"
#include "dist/transport.h"

/* How many processes the launcher started, as it says in the environment; 1: no launcher did. *by is the variable. */
int gh_mpi_launched(const char **by);

/* Opens the file that GH_MPI names in the environment, else genhance_mpi.so beside the program, else in the folder
 * where it is installed, and joins the job. GH_ERROR_UNSUPPORTED says in one line what is missing: the file, the MPI
 * that it needs, threads, a version. The library stays open. */
gh_status gh_mpi_open(gh_error *err, const gh_transport **out);

#endif
