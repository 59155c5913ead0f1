/* What `bench plan` and `bench step` share: the step they speak of, asked for and described. */
#ifndef GH_CLI_BENCH_H
#define GH_CLI_BENCH_H

#include "bench/step.h"
#include "cli/cli.h"

/* The options of the step itself. */
/* clang-format off */
#define GH_BENCH_OPTIONS(batch_default)                                                                                \
  {"arch", "NAME", GH_OPTION_TEXT, .help = "the encoder, as `genhance init --help` lists them", .required = true},     \
  {"stage", "N", GH_OPTION_INT, .help = "1: the denoiser trains; 2: the encoder", .initial = "2", .least = 1, .most = 2}, \
  {"batch", "B", GH_OPTION_INT, .help = "samples a step", .initial = batch_default, .least = 1, .most = 65536},        \
  {"precision", "P", GH_OPTION_TEXT, .help = "float32, or bf16: mixed precision", .initial = "float32"},               \
  {"double-blocks", "N", GH_OPTION_INT, .help = "the same as --set denoiser.double_blocks=N", .least = 0, .most = 64}, \
  {"single-blocks", "N", GH_OPTION_INT, .help = "the same as --set denoiser.single_blocks=N", .least = 0, .most = 64}, \
  {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "a key of the run configuration: denoiser.hidden=1024"},                \
  {"train-denoiser", NULL, GH_OPTION_FLAG, .help = "in stage 2 too"},                                                  \
  {"recompute", NULL, GH_OPTION_FLAG, .help = "make a block's values again for its gradients"}
/* clang-format on */

/* Their values; the other fields of *out are left as they are. out->sets is the caller's to free, also after failure.
 */
gh_status gh_bench_options_read(gh_error *err, gh_bench_options *out, const gh_args *args);

/* arch, precision, stage, batch, blocks, parameters and memory; and gflop_a_step, of `flops`. */
gh_status gh_bench_put_step(gh_error *err, gh_json *to, const gh_bench_options *options, const gh_budget *budget,
                            double flops);
/* One line of the same. */
void gh_bench_print_step(const gh_bench_options *options, const gh_budget *budget);

#endif
