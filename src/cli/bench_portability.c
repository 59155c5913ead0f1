/* genhance bench portability: a study from folders of results. */
#include "cli/cli.h"
#include "report/portability.h"

#include <stdio.h>

static gh_status print(gh_error *err, const gh_json *result) {
  static const char *const heads[] = {"application", "PP, application", "PP, architecture"};
  gh_strings cells = {0};
  gh_status status = GH_OK;
  const char *problem = "", *name = "";
  for (const gh_json *a = gh_json_first(gh_json_member(result, "applications")); a && !status; a = gh_json_next(a)) {
    double app = 0, arch = 0;
    status = gh_json_get_string(err, a, "application", &name);
    if (!status) status = gh_json_get_double(err, a, "app_pp", &app);
    if (!status) status = gh_json_get_double(err, a, "arch_pp", &arch);
    if (!status) status = gh_cell(err, &cells, "%s", name);
    if (!status) status = gh_cell(err, &cells, "%.3f", app);
    if (!status) status = gh_cell(err, &cells, "%.3f", arch);
  }
  if (!status) status = gh_json_get_string(err, result, "problem", &problem);
  if (!status) {
    const size_t platforms = gh_json_count(gh_json_member(result, "platforms"));
    printf("%s, on %zu platform%s:\n\n", problem, platforms, platforms == 1 ? "" : "s");
    gh_print_table(heads, "lrr", (int)GH_COUNT(heads), &cells);
    printf("\n");
  }
  for (const gh_json *f = gh_json_first(gh_json_member(result, "files")); f && !status; f = gh_json_next(f)) {
    status = gh_json_to_string(err, f, "files", &name);
    if (!status) printf("%s\n", name);
  }
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_portability_options options = {
      .folders = gh_args_list(args, "folders"),
      .out = gh_args_text(args, "out"),
      .problem = gh_args_text(args, "problem"),
      .study = {.by_runtime = gh_args_flag(args, "by-runtime"), .set = gh_args_list(args, "set")}};
  gh_status status = gh_output_check(err, args, "out");
  if (!status) status = gh_portability_write(err, &options, args->result);
  return status ? status : print(err, args->result);
}

static const gh_option options[] = {
    {"folders", "DIR...", GH_OPTION_LIST, .help = "folders of results, or files of JSON lines", .required = true,
     .bare = true},
    {"out", "PAGE.html", GH_OPTION_TEXT, .help = "page to write; SVG and CSV files stand beside it", .required = true},
    {"problem", "TEXT", GH_OPTION_TEXT,
     .help = "the measurement that stands for the study, by a part of its name (default: the step with most results)"},
    {"set", "TEXT", GH_OPTION_LIST, .help = "only platforms with this in their name"},
    {"by-runtime", NULL, GH_OPTION_FLAG,
     .help = "a platform is the hardware with one runtime, and each shape of kernels is an application"},
    {0},
};

const gh_command gh_command_bench_portability = {
    .name = "bench portability",
    .summary = "write a portability study as one HTML page",
    .details =
        "Application efficiency is relative to the best known result on the same hardware, architectural efficiency to "
        "its measured peaks. PP is the harmonic mean over all platforms, 0 if one has no result. PAGE-p3.csv is for "
        "the P3 analysis library; PAGE-p3-all.csv has every problem.",
    .run = run,
    .options = options,
};
