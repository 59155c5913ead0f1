#include "cli/ranks.h"
#include "dist/devices.h"
#include "dist/mpi.h"
#include "train/ranks_encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line of a rank other than 0: only warnings come here. */
static void write_of_rank(void *user, gh_log_level level, const char *line) {
  const gh_comm *comm = user;
  const int rank = gh_comm_rank(comm);
  fprintf(stderr, "rank %d on %s: %s%s\n", rank, gh_comm_host(comm, rank), level == GH_LOG_WARNING ? "warning: " : "",
          line);
}

static gh_status fall_silent(gh_error *err, gh_args *args) {
  gh_args_drop(args, "json");
  gh_log_set_level(GH_MIN(gh_log_get_level(), GH_LOG_WARNING));
  gh_log_set_writer(write_of_rank, args->comm);
  return freopen("/dev/null", "w", stdout) ? GH_OK : gh_fail(err, GH_ERROR_FILE, "/dev/null cannot be opened");
}

gh_status gh_cli_ranks_begin(gh_error *err, gh_args *args) {
  const char *by;
  if (args->command->ranks == GH_RANKS_EACH) return GH_OK;
  if (args->command->ranks == GH_RANKS_NONE && gh_mpi_launched(&by) > 1)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: %s says that several processes were started, but this command runs in one; with GH_MPI=off "
                   "each does it by itself",
                   args->command->name, by);
  gh_status status = args->command->ranks ? gh_comm_open(err, &args->comm) : GH_OK;
  if (status || !args->comm) return status;
  if (gh_comm_rank(args->comm)) return fall_silent(err, args);
  gh_info("%d ranks, %s", gh_comm_ranks(args->comm), gh_comm_library(args->comm));
  return GH_OK;
}

gh_status gh_cli_ranks_end(gh_error *err, gh_args *args, gh_status status) {
  gh_comm *comm = args->comm;
  if (!comm) return status;
  gh_comm_patience(comm, 0);
  status = gh_comm_agree(err, comm, status, "the end", NULL);
  const bool silent = gh_comm_rank(comm) && (!status || gh_comm_agreed_failure(comm));
  gh_log_set_writer(NULL, NULL);
  gh_comm_close(comm);
  args->comm = NULL;
  return silent ? GH_OK : status;
}

bool gh_cli_writes(const gh_args *args) { return !gh_comm_rank(args->comm); }

gh_status gh_cli_device(gh_error *err, const gh_args *args, const char *given, char **out) {
  const char *named = gh_args_given(args, "device") ? gh_args_text(args, "device") : given;
  if (args->comm || strchr(named, '=')) return gh_comm_device(err, args->comm, named, out);
  return (*out = gh_strdup(err, named)) ? GH_OK : GH_ERROR_MEMORY;
}

gh_status gh_cli_open_device(gh_error *err, const gh_args *args, gh_device **out) {
  char *name = NULL;
  gh_status status = gh_cli_device(err, args, gh_args_text(args, "device"), &name);
  if (!status) status = gh_device_open(err, name, out);
  free(name);
  return status;
}

/* ---- comparing ---- */

static gh_status put_option(gh_error *err, gh_json *into, const gh_args *args, const gh_option *o) {
  static const char *const differ[] = {"out", "model", "run", "snapshot", "adapter", "encoder", "images", "data"};
  for (size_t i = 0; i < GH_COUNT(differ); i++)
    if (!strcmp(o->name, differ[i])) return GH_OK;
  if (o->kind == GH_OPTION_INT) return gh_json_put_int(err, into, o->name, gh_args_int(args, o->name));
  const char *text = o->kind == GH_OPTION_TEXT ? gh_args_text(args, o->name) : NULL;
  return text ? gh_json_put_string(err, into, o->name, text) : GH_OK;
}

gh_status gh_cli_same_input(gh_error *err, const gh_args *args, const char *model, size_t items) {
  if (!args->comm) return GH_OK;
  gh_json *given = gh_json_object(err), *options = NULL;
  gh_status status = given ? gh_json_put_string(err, given, "command", args->command->name) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_int(err, given, "the number of items", (int64_t)items);
  if (!status && !(options = gh_json_put_object(err, given, "option"))) status = err->status;
  for (const gh_option *o = args->command->options; !status && o->name; o++) status = put_option(err, options, args, o);
  if (status) {
    gh_json_free(given);
    given = NULL;
  }
  return gh_ranks_same_input(err, args->comm, model, given);
}
