/* genhance report: a run as one page of HTML. */
#include "report/report.h"
#include "cli/cli.h"

#include <stdio.h>

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_report_options options = {.run = gh_args_text(args, "run"),
                                     .images = gh_args_text(args, "images"),
                                     .snapshot = gh_args_text(args, "snapshot"),
                                     .device = gh_args_given(args, "device") ? gh_args_text(args, "device") : NULL,
                                     .pictures = gh_args_int(args, "pictures"),
                                     .pool = gh_args_int(args, "pool"),
                                     .batch = gh_args_int(args, "batch"),
                                     .seed = (uint64_t)gh_args_int(args, "seed")};
  const char *out = gh_args_text(args, "out");
  gh_status status = gh_output_check(err, args, "out");
  if (!status) status = gh_report_write(err, out, &options, args->result);
  if (!status) printf("%s\n", out);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run, finished or not", .required = true},
    {"out", "REPORT.html", GH_OPTION_TEXT, .help = "page to write", .required = true},
    {"images", "PATH", GH_OPTION_TEXT, .help = "pictures to show (default: the first source the run trained on)"},
    {"snapshot", "NAME", GH_OPTION_TEXT, .help = "whose encoder to show, as stage2-00000050; otherwise the newest"},
    {"pictures", "N", GH_OPTION_INT, .help = "to draw from their token; 0: compute nothing", .initial = "6",
     .most = 256},
    {"pool", "N", GH_OPTION_INT, .help = "pictures to find nearest neighbours among", .initial = "128", .least = 3,
     .most = 65536},
    {"batch", "N", GH_OPTION_INT, .help = "images a launch", .initial = "8", .least = 1, .most = 256},
    {"seed", "N", GH_OPTION_INT, .help = "of the noise that drawings start from", .initial = "0"},
    {0},
};

const gh_command gh_command_report = {
    .name = "report",
    .summary = "a run as one page: curves, evaluations, pictures, configuration",
    .details =
        "One HTML file that loads nothing from anywhere: charts are SVG, pictures PNG inside. The run's config.json\n"
        "names its model files: call it from the folder where the run was started if the paths are relative.",
    .run = run,
    .options = options,
};
