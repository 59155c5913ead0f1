/* genhance scenes: a captioned data set of drawn scenes, with data for every evaluation. */
#include "cli/cli.h"
#include "scenes/dataset.h"

#include <stdio.h>

#define SHEET_SIDE 10 /* pictures */

static gh_status show(gh_error *err, const gh_json *about, const char *out) {
  static const char *const heads[] = {"folder", "pictures"};
  gh_strings cells = {0};
  gh_status status = GH_OK;
  for (const gh_json *part = gh_json_first(gh_json_member(about, "pictures")); part && !status;
       part = gh_json_next(part)) {
    int64_t n = 0;
    status = gh_json_to_int(err, part, gh_json_key(part), &n);
    if (!status) status = gh_cell(err, &cells, "%s/%s", out, gh_json_key(part));
    if (!status) status = gh_cell(err, &cells, "%lld", (long long)n);
  }
  if (!status) gh_print_table(heads, "lr", 2, &cells);
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *sheet = gh_args_text(args, "sheet");
  const gh_scenes_options options = {.out = gh_args_text(args, "out"),
                                     .count = gh_args_int(args, "count"),
                                     .seed = (uint64_t)gh_args_int(args, "seed"),
                                     .details = gh_args_real(args, "details"),
                                     .side = (int)gh_args_int(args, "size"),
                                     .shards = gh_args_flag(args, "shards"),
                                     .training_only = gh_args_flag(args, "train-only")};
  gh_json *about = NULL;
  gh_stop_install();
  gh_status status = gh_output_check(err, args, "sheet");
  if (!status) status = gh_scenes_write(err, &about, &options);
  if (!status && sheet) status = gh_scenes_sheet(err, sheet, &options, SHEET_SIDE, SHEET_SIDE);
  if (!status) status = show(err, about, options.out);
  if (!status) {
    status = gh_json_put(err, args->result, "scenes", about);
    about = NULL;
  }
  gh_json_free(about);
  return status;
}

static const gh_option options[] = {
    {"out", "DIR", GH_OPTION_TEXT, .help = "new or empty folder to write", .required = true},
    {"count", "N", GH_OPTION_INT, .help = "captioned pictures for training", .initial = "8192", .most = 100000000},
    {"seed", "S", GH_OPTION_INT, .help = "seed of everything that varies", .initial = "0"},
    {"details", "RATE", GH_OPTION_REAL, .help = "share of the captions that mention a detail beside the category",
     .initial = "0.1", .most = 1},
    {"size", "PX", GH_OPTION_INT, .help = "width and height of a picture", .initial = "64", .least = GH_SCENES_MIN_SIDE,
     .most = GH_SCENES_MAX_SIDE},
    {"shards", NULL, GH_OPTION_FLAG, .help = "training pictures as .tar shards with the keys png, txt and json"},
    {"train-only", NULL, GH_OPTION_FLAG, .help = "write DIR/train only, no data of evaluations"},
    {"sheet", "FILE.png", GH_OPTION_TEXT, .help = "also write the first 100 training pictures as one image"},
    {0},
};

const gh_command gh_command_scenes = {
    .name = "scenes",
    .summary = "draw a captioned data set in which MMVP's patterns vary",
    .details =
        "Draws things of a few dozen kinds before different backgrounds. MMVP's nine patterns vary: direction, "
        "features, state, count, position, colour, structure, text and view. Captions name the kind of thing and "
        "seldom a detail, so that a CLIP model trained on them is blind to details. DIR/train is for training. "
        "DIR/mmvp, DIR/mmvp-validation, DIR/zeroshot, DIR/retrieval and DIR/attributes are data of the evaluations of "
        "these names; no pair is in both sets of pairs.\n"
        "\nA seed gives the same pixels and captions on every machine with the same version of cairo. The files of a "
        "seed may differ with the version of zlib, which compresses the pictures.",
    .run = run,
    .options = options,
};
