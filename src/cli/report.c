/* genhance report: writes a run as one HTML page. */
#include "report/report.h"
#include "cli/run_options.h"
#include "report/several.h"

#include <stdio.h>

/* Several runs are compared by their files alone. */
static gh_status refuse_pictures(gh_error *err, const gh_args *args) {
  static const char *const names[] = {"images", "snapshot", "model", "autoencoder", "pictures",
                                      "pool",   "batch",    "seed",  "trace"};
  for (size_t i = 0; i < GH_COUNT(names); i++)
    if (gh_args_given(args, names[i]))
      return gh_fail(err, GH_ERROR_ARGUMENT, "report: --%s applies to one run, and several are named", names[i]);
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_strings *runs = gh_args_list(args, "run");
  const gh_report_options options = {.run = runs->items[0],
                                     .images = gh_args_text(args, "images"),
                                     .snapshot = gh_args_text(args, "snapshot"),
                                     .model = gh_args_text(args, "model"),
                                     .autoencoder = gh_args_text(args, "autoencoder"),
                                     .device = gh_args_given(args, "device") ? gh_args_text(args, "device") : NULL,
                                     .pictures = gh_args_int(args, "pictures"),
                                     .pool = gh_args_int(args, "pool"),
                                     .batch = gh_args_int(args, "batch"),
                                     .seed = (uint64_t)gh_args_int(args, "seed"),
                                     .trace = gh_args_text(args, "trace")};
  const char *out = gh_args_text(args, "out");
  gh_status status = gh_output_check(err, args, "out");
  if (!status && runs->count > 1) status = refuse_pictures(err, args);
  if (!status && runs->count > 1)
    status = gh_report_several(err, out, runs, args->result);
  else if (!status)
    status = gh_report_write(err, out, &options, args->result);
  if (!status) printf("%s\n", out);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_LIST, .help = "folder of a run, finished or still training; several are compared",
     .required = true},
    {"out", "REPORT.html", GH_OPTION_TEXT, .help = "HTML page to write", .required = true},
    {"images", "PATH", GH_OPTION_TEXT, .help = "images to show (default: the run's first training source)"},
    GH_SNAPSHOT_OPTION("last"),
    GH_MODEL_OPTION,
    GH_AUTOENCODER_OPTION,
    {"trace", "FILE", GH_OPTION_TEXT, .help = "show where a step's time goes: a file that bench step --trace wrote"},
    {"pictures", "N", GH_OPTION_INT, .help = "number of images to reconstruct; 0 computes nothing", .initial = "6",
     .most = 256},
    {"pool", "N", GH_OPTION_INT, .help = "number of images to search for nearest neighbours", .initial = "128",
     .least = 3, .most = 65536},
    {"batch", "N", GH_OPTION_INT, .help = "images per launch", .initial = "8", .least = 1, .most = 256},
    {"seed", "N", GH_OPTION_INT, .help = "seed of the reconstructions' initial noise", .initial = "0"},
    {0},
};

const gh_command gh_command_report = {
    .name = "report",
    .summary = "write a run, or several side by side, as one HTML page",
    .details =
        "The page is one self-contained file with curves, evaluations, images and the configuration. Model files "
        "are looked for in the folder where the run was started, and in this one. With several runs the page has their "
        "scores, their curves together, and how their configurations differ.",
    .run = run,
    .options = options,
};
