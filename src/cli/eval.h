/* What the `eval` commands share. Scores are printed and written in per cent, like the paper's tables. */
#ifndef GH_CLI_EVAL_H
#define GH_CLI_EVAL_H

#include "cli/run_options.h"
#include "eval/interval.h"
#include "eval/measure.h"

/* What a model computes with beside its files. */
#define GH_EVAL_TRAINED_OPTIONS                                                                                        \
  {"adapter", "DIR", GH_OPTION_TEXT, .help = "apply this PEFT adapter, for example RUN/snapshots/stage2-00000050"},    \
      {"encoder", "FILE", GH_OPTION_TEXT,                                                                              \
       .help = "safetensors file whose tensors replace the model's (direct tuning)"},                                  \
  {                                                                                                                    \
    "batch", "N", GH_OPTION_INT, .help = "images or lines per launch", .initial = "32", .least = 1, .most = 65536      \
  }

#define GH_EVAL_OPTIONS                                                                                                \
  {"model", "DIR", GH_OPTION_TEXT, .help = "model folder in Hugging Face layout, with its tokenizer files"},           \
      {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run whose encoder to score"},                                \
      GH_SNAPSHOT_OPTION(GH_BEST_OR_LAST),                                                                             \
      {"data", "DIR", GH_OPTION_TEXT, .help = "folder with the evaluation's data", .required = true},                  \
      GH_EVAL_TRAINED_OPTIONS

/* Reads the data, embeds texts and images with the model of the options and computes the scores. The caller frees *out,
 * after a failure too. */
gh_status gh_eval_measure(gh_error *err, const gh_args *args, const gh_measure_spec *spec, gh_measure *out);

/* "NAME": {"percent", "hits", "total", "low", "high"}; into an array where name is NULL. */
gh_status gh_eval_put_share(gh_error *err, gh_json *to, const char *name, const gh_share *share);
/* "NAME": {"value", "low", "high"}, each times `scale`. */
gh_status gh_eval_put_interval(gh_error *err, gh_json *to, const char *name, const gh_interval *interval, double scale);
/* Writes null for text that is not UTF-8. */
gh_status gh_eval_put_text(gh_error *err, gh_json *to, const char *key, const char *text);
/* The cells of one row: name, per cent, hits of total, the interval. */
gh_status gh_eval_row(gh_error *err, gh_strings *cells, const char *name, const gh_share *share);
extern const char *const gh_eval_heads[4];
#define GH_EVAL_ALIGN "lrrr"

#endif
