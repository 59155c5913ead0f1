/* The options shared by all commands that train. */
#ifndef GH_CLI_RUN_OPTIONS_H
#define GH_CLI_RUN_OPTIONS_H

#include "cli/cli.h"
#include "config/run.h"
#include "data/source.h"
#include "method/objective.h"
#include "train/trainer.h"

#define GH_RUN_OPTIONS                                                                                                 \
  {"resume", NULL, GH_OPTION_FLAG, .help = "continue from the newest state in the output folder"},                     \
      {"replan", NULL, GH_OPTION_FLAG, .help = "with --resume: choose the kernels again"}, {                           \
    "allow-data-change", NULL, GH_OPTION_FLAG, .help = "with --resume: accept a changed set of images"                 \
  }

/* --keys: the members of a .tar's samples that are pictures. */
#define GH_KEYS_OPTION                                                                                                 \
  { "keys", "KEY,KEY", GH_OPTION_LIST, .help = "members of a shard's samples that are pictures (default jpg,jpeg,png)" }
/* Splits what --keys says at commas and semicolons. GH_ERROR_ARGUMENT for an empty key. An absent option gives an empty
 * list. */
gh_status gh_keys_of(gh_error *err, gh_strings *keys, const gh_args *args);
/* Opens the source that `option` names, with the keys of --keys, and warns of what is left out. */
gh_status gh_open_source(gh_error *err, gh_source **out, const gh_args *args, const char *option);

/* Of commands that read a finished run. */
#define GH_SNAPSHOT_OPTION(default_name)                                                                               \
  { "snapshot", "NAME", GH_OPTION_TEXT, .help = "best, last, or a name: stage2-00000050 (default: " default_name ")" }
#define GH_BEST_OR_LAST "best if evaluated, else last"
#define GH_MODEL_OPTION                                                                                                \
  { "model", "DIR", GH_OPTION_TEXT, .help = "model folder of the encoder, in place of the one that the run names" }
#define GH_AUTOENCODER_OPTION                                                                                          \
  { "autoencoder", "FILE", GH_OPTION_TEXT, .help = "autoencoder, in place of the one that the run names" }

/* The snapshot of a run that --snapshot names, or the default one; says on stdout which it is. The caller frees. */
gh_status gh_choose_snapshot(gh_error *err, const gh_args *args, const char *run, gh_snapshot *out);

/* The encoder that --model, --adapter and, in a command that has it, --encoder name, or the one of --run and
 * --snapshot. */
typedef struct gh_named_encoder {
  const char *model, *adapter, *encoder;
  gh_config config;     /* of the run */
  gh_snapshot snapshot; /* of the run */
} gh_named_encoder;
gh_status gh_name_encoder(gh_error *err, const gh_args *args, const char *adapter, const char *encoder,
                          gh_named_encoder *out);
void gh_named_encoder_free(gh_named_encoder *encoder);

gh_train_options gh_run_options(const gh_args *args);

/* Replaces the configuration's device (and frees the old *device) if --device was given. */
gh_status gh_run_device(gh_error *err, const gh_args *args, char **device);

/* For more_details: a paragraph for each kind of denoiser that has such a text. */
gh_status gh_details_of_kinds(gh_error *err, gh_strings *lines, const char *(*text)(const gh_objective *objective));

#endif
