/* The ops at the shapes of a real step, for timing: ViT-L/14 at 224 pixels, a denoiser 3072 wide, FLUX's autoencoder.
 * A case records one op and, where it has one, its gradient. */
#ifndef GH_BENCH_OPS_H
#define GH_BENCH_OPS_H

#include "bench/case.h"

int gh_op_case_count(void);
/* The name of the case's op; *label describes its shapes (without the batch). */
const char *gh_op_case_name(int index, const char **label);
/* Whether the case can be recorded with operands of that type: bf16 leaves out ops that have only float32. */
bool gh_op_case_has(int index, gh_dtype dtype);

/* Times one case with `batch` samples, in memory of its own. */
gh_status gh_op_case_run(gh_error *err, gh_device *device, int index, int64_t batch, gh_dtype storage,
                         const gh_bench_repeats *how, gh_op_bench *out);

#endif
