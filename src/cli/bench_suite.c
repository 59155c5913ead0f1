/* genhance bench suite: everything that a portability study needs, on several devices. */
#include "bench/suite.h"
#include "cli/cli.h"

#include <stdlib.h>

static gh_status run(gh_error *err, const gh_args *args) {
  const char *devices = gh_args_text(args, "devices");
  const gh_suite_options options = {.devices = devices ? devices : gh_args_text(args, "device"),
                                    .out = gh_args_text(args, "out"),
                                    .minutes = gh_args_real(args, "minutes"),
                                    .parts = gh_args_text(args, "parts"),
                                    .archs = gh_args_text(args, "archs"),
                                    .images = gh_args_text(args, "images"),
                                    .batch = gh_args_int(args, "batch"),
                                    .repeats = (int)gh_args_int(args, "repeats")};
  return gh_suite_run(err, &options, args->result);
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
    .details = "Writes one row per result, also for what is unsupported, failed or was left out (docs/results.md). An "
               "interrupted suite goes on where it stopped; so does one that --minutes ended, if it is called again.",
    .run = run,
    .options = options,
    .more_details = parts,
};
