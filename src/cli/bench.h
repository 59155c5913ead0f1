/* What `bench plan` and `bench step` share: the options and the description of a training step. */
#ifndef GH_CLI_BENCH_H
#define GH_CLI_BENCH_H

#include "bench/step.h"
#include "cli/cli.h"

/* The options of the step itself. */
/* clang-format off */
#define GH_BENCH_OPTIONS(batch_default)                                                                                \
  {"arch", "NAME", GH_OPTION_TEXT, .help = "encoder; `genhance init --help` lists them", .required = true},     \
  {"stage", "N", GH_OPTION_INT, .help = "1: train the denoiser; 2: train the encoder", .initial = "2", .least = 1, .most = 2}, \
  {"batch", "B", GH_OPTION_INT, .help = "samples per step", .initial = batch_default, .least = 1, .most = 65536},        \
  {"precision", "P", GH_OPTION_TEXT, .help = "float32, or bf16 or float16 for mixed precision", .initial = "float32"},               \
  {"double-blocks", "N", GH_OPTION_INT, .help = "kind continuous: short for --set denoiser.double_blocks=N", .least = 0, .most = 64},            \
  {"single-blocks", "N", GH_OPTION_INT, .help = "kind continuous: short for --set denoiser.single_blocks=N", .least = 0, .most = 64},            \
  {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "set a key of the run configuration, for example denoiser.hidden=1024"},   \
  {"train-denoiser", NULL, GH_OPTION_FLAG, .help = "train the denoiser in stage 2 as well"},                                                  \
  {"recompute", NULL, GH_OPTION_FLAG, .help = "recompute activations in the backward pass"}
/* clang-format on */

/* Reads their values; leaves the other fields of *out unchanged. The caller frees out->sets, also after a failure. */
gh_status gh_bench_options_read(gh_error *err, gh_bench_options *out, const gh_args *args);

/* Writes arch, precision, stage, batch, blocks, parameters, memory and, from `flops`, gflop_per_step. */
gh_status gh_bench_put_step(gh_error *err, gh_json *to, const gh_bench_options *options, const gh_budget *budget,
                            double flops);
/* Prints the same as one line. */
void gh_bench_print_step(const gh_bench_options *options, const gh_budget *budget);

#endif
