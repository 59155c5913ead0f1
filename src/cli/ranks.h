/* Commands that several processes, started by mpirun, run together: "ranks" of gh_command. Rank 0 speaks and writes the
 * results; the others only warn. */
#ifndef GH_CLI_RANKS_H
#define GH_CLI_RANKS_H

#include "backend/registry.h"
#include "cli/cli.h"
#include "dist/comm.h"

/* Joins the other processes, if there are any: args->comm. GH_ERROR_UNSUPPORTED for a command of one process. */
gh_status gh_cli_ranks_begin(gh_error *err, gh_args *args);
/* The last agreement on the command's status; leaves the job. A failure that all ranks know of is rank 0's to report:
 * the others return GH_OK. */
gh_status gh_cli_ranks_end(gh_error *err, gh_args *args, gh_status status);
/* Whether this process writes files: it is rank 0, or alone. */
bool gh_cli_writes(const gh_args *args);
/* The name of this rank's device, from --device, else `given`, either of which may be a list. The caller frees *out. */
gh_status gh_cli_device(gh_error *err, const gh_args *args, const char *given, char **out);
/* Opens the device that --device names. */
gh_status gh_cli_open_device(gh_error *err, const gh_args *args, gh_device **out);
/* GH_ERROR_CONFIG where the ranks were started with different options of the command (except --device, --out, --json
 * and the names of the models, whose content is compared), with another number of items, or with other model files. */
gh_status gh_cli_same_input(gh_error *err, const gh_args *args, const char *model, size_t items);

#endif
