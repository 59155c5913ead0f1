/* The options shared by all commands that train. */
#ifndef GH_CLI_RUN_OPTIONS_H
#define GH_CLI_RUN_OPTIONS_H

#include "cli/cli.h"
#include "data/source.h"
#include "method/objective.h"
#include "train/trainer.h"

#define GH_RUN_OPTIONS                                                                                                 \
  {"resume", NULL, GH_OPTION_FLAG, .help = "continue from the newest state in the output folder"},                     \
      {"replan", NULL, GH_OPTION_FLAG, .help = "with --resume: choose the kernels again"},                             \
      {"allow-data-change", NULL, GH_OPTION_FLAG, .help = "with --resume: accept a changed set of images"}, {          \
    "quiet", NULL, GH_OPTION_FLAG, .help = "do not print a line per update"                                            \
  }

/* --keys: the members of a .tar's samples that are pictures. */
#define GH_KEYS_OPTION                                                                                                 \
  { "keys", "KEY,KEY", GH_OPTION_LIST, .help = "members of a shard's samples that are pictures (default jpg,jpeg,png)" }
/* Splits what --keys says at commas and semicolons. GH_ERROR_ARGUMENT for an empty key. An absent option gives an empty
 * list. */
gh_status gh_keys_of(gh_error *err, gh_strings *keys, const gh_args *args);
/* Opens the source that `option` names, with the keys of --keys, and warns of what is left out. */
gh_status gh_open_source(gh_error *err, gh_source **out, const gh_args *args, const char *option);

gh_train_options gh_run_options(const gh_args *args);

/* Replaces the configuration's device (and frees the old *device) if --device was given. */
gh_status gh_run_device(gh_error *err, const gh_args *args, char **device);

/* For more_details: a paragraph for each kind of denoiser that has such a text. */
gh_status gh_details_of_kinds(gh_error *err, gh_strings *lines, const char *(*text)(const gh_objective *objective));

#endif
