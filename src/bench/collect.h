/* Results from measurements: what a timed op or step becomes in the common form. */
#ifndef GH_BENCH_COLLECT_H
#define GH_BENCH_COLLECT_H

#include "bench/case.h"
#include "bench/place.h"
#include "bench/step.h"

/* Adds a row for each pass that ran. The title's kind NULL: "product" or "op", by the op. */
gh_status gh_collect_op(gh_error *err, gh_results *to, const gh_result *place, const gh_result_title *title,
                        const gh_op_bench *bench);

/* The title of a step: "stage 2", and as its shape architecture and denoiser with its sizes, from the configuration.
 * The texts stand in `shape`. */
gh_status gh_collect_step_title(gh_error *err, const gh_bench_options *options, gh_result_title *out, char *shape,
                                size_t size);
/* Adds a row of kind "step" in images per second. */
gh_status gh_collect_step(gh_error *err, gh_results *to, const gh_result *place, const gh_bench_options *options,
                          const gh_bench_result *result);

#endif
