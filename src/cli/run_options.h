/* The options that all commands that train have. */
#ifndef GH_CLI_RUN_OPTIONS_H
#define GH_CLI_RUN_OPTIONS_H

#include "cli/cli.h"
#include "train/trainer.h"

#define GH_RUN_OPTIONS                                                                                                 \
  {"resume", NULL, GH_OPTION_FLAG, .help = "go on from the newest state in the output folder"},                        \
      {"replan", NULL, GH_OPTION_FLAG, .help = "with --resume: choose kernels anew"},                                  \
      {"allow-data-change", NULL, GH_OPTION_FLAG, .help = "with --resume: the set of images may have changed"}, {      \
    "quiet", NULL, GH_OPTION_FLAG, .help = "no line an update on standard output"                                      \
  }

gh_train_options gh_run_options(const gh_args *args);

/* --device, where given, replaces the configuration's (*device is freed). */
gh_status gh_run_device(gh_error *err, const gh_args *args, char **device);

#endif
