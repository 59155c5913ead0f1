/* genhance bench suite: everything that a portability study needs, on several devices. */
#include "base/file.h"
#include "base/log.h"
#include "bench/results.h"
#include "bench/suite.h"
#include "cli/cli.h"
#include "dist/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *devices_of(const gh_args *args) {
  const char *devices = gh_args_text(args, "devices");
  return devices ? devices : gh_args_text(args, "device");
}

static gh_status measure(gh_error *err, const gh_args *args, const char *devices, const char *out, gh_json *result) {
  const gh_suite_options options = {.devices = devices,
                                    .out = out,
                                    .minutes = gh_args_real(args, "minutes"),
                                    .parts = gh_args_text(args, "parts"),
                                    .archs = gh_args_text(args, "archs"),
                                    .images = gh_args_text(args, "images"),
                                    .batch = gh_args_int(args, "batch"),
                                    .repeats = (int)gh_args_int(args, "repeats")};
  return gh_suite_run(err, &options, result);
}

/* ---- several ranks, each with a device: rank 0 puts their results into one folder ---- */

/* OUT/ranks/HOST-DEVICE: the same on a later call, whichever rank has the device then. */
static char *folder_of(gh_error *err, const gh_args *args, const char *device) {
  const gh_comm *comm = args->comm;
  char *folder =
      gh_format(err, "%s/ranks/%s-%s", gh_args_text(args, "out"), gh_comm_host(comm, gh_comm_rank(comm)), device);
  for (char *p = folder ? folder + strlen(folder) - strlen(device) : NULL; p && *p; p++)
    if (*p == '/' || *p == ':') *p = '-';
  return folder;
}

/* On rank 0, which has all folders. Two that measured the same device would disturb each other. */
static gh_status check_folders(gh_error *err, const gh_comm *comm, char *const *folders) {
  for (int i = 0; i < gh_comm_ranks(comm); i++)
    for (int k = 0; k < i; k++)
      if (!strcmp(folders[i], folders[k]))
        return gh_fail(err, GH_ERROR_ARGUMENT,
                       "bench suite: ranks %d and %d on %s have the same device: start one rank per device, and name "
                       "them in --devices",
                       k, i, gh_comm_host(comm, i));
  return GH_OK;
}

/* Those of a host take turns: they share its processors and its bus. */
static gh_status take_turns(gh_error *err, const gh_args *args, const char *device, const char *folder) {
  gh_comm *comm = args->comm;
  gh_json *own = gh_json_object(err);
  gh_status status = own ? GH_OK : GH_ERROR_MEMORY;
  for (int turn = 0; turn < gh_comm_ranks(comm) && !status; turn++) {
    if (turn == gh_comm_local_rank(comm)) status = measure(err, args, device, folder, own);
    status = gh_comm_agree(err, comm, status, "a part of the suite", NULL);
  }
  gh_json_free(own);
  return status;
}

static gh_status join(gh_error *err, const gh_args *args, char *const *folders) {
  const char *out = gh_args_text(args, "out");
  const int ranks = gh_comm_ranks(args->comm);
  gh_results rows = {0};
  gh_status status = GH_OK;
  for (int i = 0; i < ranks && !status; i++) status = gh_results_read(err, &rows, folders[i]);
  if (!status) status = gh_results_write(err, &rows, out);
  if (!status) status = gh_json_put_string(err, args->result, "folder", out);
  if (!status) status = gh_json_put_int(err, args->result, "ranks", ranks);
  if (!status) status = gh_json_put_int(err, args->result, "results", (int64_t)rows.count);
  if (!status) printf("%s/rows.jsonl, rows.csv: %zu rows of %d ranks\n", out, rows.count, ranks);
  gh_results_free(&rows);
  return status;
}

static gh_status measure_on_ranks(gh_error *err, const gh_args *args) {
  gh_comm *comm = args->comm;
  const int ranks = gh_comm_ranks(comm);
  char *device = NULL, *folder = NULL, **folders = gh_alloc(err, (size_t)ranks, sizeof *folders);
  gh_status status = folders ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !strcmp(devices_of(args), "all"))
    status = gh_fail(err, GH_ERROR_ARGUMENT, "bench suite: each rank measures one device; --devices names them");
  if (!status) status = gh_comm_device(err, comm, devices_of(args), &device);
  if (!status && !(folder = folder_of(err, args, device))) status = GH_ERROR_MEMORY;
  status = gh_comm_agree(err, comm, status, "the devices", NULL);
  if (!status) status = gh_comm_gather_text(err, comm, folder, folders);
  if (!status && !gh_comm_rank(comm)) status = check_folders(err, comm, folders);
  status = gh_comm_agree(err, comm, status, "the folders", NULL);
  if (!status) status = take_turns(err, args, device, folder);
  if (!status && !gh_comm_rank(comm)) status = join(err, args, folders);
  for (int i = 0; folders && i < ranks; i++) free(folders[i]);
  free(folders);
  free(folder);
  free(device);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  if (args->comm) return measure_on_ranks(err, args);
  return measure(err, args, devices_of(args), gh_args_text(args, "out"), args->result);
}

static gh_status parts(gh_error *err, gh_strings *lines) {
  const char *summary, *name;
  gh_status status = gh_strings_add(err, lines, "Parts:");
  for (int i = 0; (name = gh_suite_part(i, &summary)) && !status; i++) {
    char *line = gh_format(err, "  %s: %s", name, summary);
    status = line ? gh_strings_add(err, lines, line) : GH_ERROR_MEMORY;
    free(line);
  }
  return status;
}

static const gh_option options[] = {
    {"out", "DIR", GH_OPTION_TEXT, .help = "folder for rows.jsonl and rows.csv; results there are kept",
     .required = true},
    {"devices", "LIST", GH_OPTION_TEXT,
     .help =
         "comma-separated devices, or all: each, and a CPU with both shapes of kernels; drift is against the first"},
    {"minutes", "N", GH_OPTION_REAL, .help = "time limit: the most telling measurements first", .most = 100000},
    {"parts", "LIST", GH_OPTION_TEXT, .help = "only these parts"},
    {"archs", "LIST", GH_OPTION_TEXT, .help = "encoders whose products and steps to measure (default: all published)"},
    {"images", "PATH", GH_OPTION_TEXT, .help = "pictures for the loader (default: some that are made up)"},
    {"batch", "B", GH_OPTION_INT, .help = "samples per launch", .initial = "4", .least = 1, .most = 65536},
    {"repeats", "N", GH_OPTION_INT, .help = "timed repeats of each, after a warm-up", .initial = "5", .least = 5,
     .most = 1000},
    {0},
};

const gh_command gh_command_bench_suite = {
    .name = "bench suite",
    .summary = "measure everything that a portability study needs",
    .details =
        "Writes one row per result, also for what is unsupported, failed or was left out (docs/results.md). An "
        "interrupted suite goes on where it stopped; so does one that --minutes ended, if it is called again. With "
        "mpirun, each rank measures one device, one after the other on a host, and rank 0 joins the rows.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
    .more_details = parts,
};
