/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * A number is a pure function of the key (seed, stage, purpose, name), the ordinal of the sample in the run's stream
 * and the element's index; never of the micro-batch, the rank or the position in a batch. One block (one counter) gives
 * the elements 4i .. 4i+3. The scalar functions are in cl/philox.h, which every device compiles too: integers, uniforms
 * and normals have the same bits everywhere. */
#ifndef GH_BASE_RANDOM_H
#define GH_BASE_RANDOM_H

#include "base/status.h"

typedef struct gh_stream {
  uint32_t key[2]; /* a kernel's two key words */
} gh_stream;

/* stage: 1 or 2, 0 outside the stages; purpose: "noise", "timestep", "dropout", ...; name: the tensor's, or "". */
gh_stream gh_stream_make(uint64_t seed, int stage, const char *purpose, const char *name);

/* n elements of the sample `ordinal`, from first_element on. Uniforms lie in (0, 1), both ends excluded. */
void gh_stream_uniforms(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out);
void gh_stream_normals(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out);
/* Standard Gumbel noise, -ln(-ln u) of the uniforms; in -2.82 .. 16.64. */
void gh_stream_gumbels(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out);

/* A bijection of [0, n), n >= 1, position < n: the place of `position` in the stream's shuffle. */
uint64_t gh_permute(gh_stream stream, uint64_t position, uint64_t n);

/* The same, with a separate shuffle for each sample ordinal. */
uint64_t gh_permute_at(gh_stream stream, uint64_t ordinal, uint64_t position, uint64_t n);

/* An integer of [0, n), n >= 1, with negligible bias (64 bits scaled down). Consumes the whole block `element`, not a
 * quarter of it: do not draw from one stream both this way and by elements. */
uint64_t gh_stream_below(gh_stream stream, uint64_t ordinal, int64_t element, uint64_t n);

/* A code of [0, k): the index of the largest logits[i] / temperature + Gumbel noise, element row * k + i; the first at
 * a tie. 1 / temperature is rounded to float32 first. NaN is never the largest. The reference of gh_categorical. */
int64_t gh_categorical_at(gh_stream stream, uint64_t ordinal, int64_t row, const float *logits, int64_t k,
                          double temperature);

/* mask[i], i < n: 1 if masked, else 0. The sample's ratio is r = low + (high - low) u, u its uniform number of the
 * stream `ratio`. Masked are r n positions, rounded half to even, at least 1, at most n - 1: those with the smallest
 * uniform numbers of the stream `order`, the lower position at a tie. In float32. 0 <= low <= high <= 1, 2 <= n <=
 * 2^22. The reference of gh_random_mask, which is fast; this is not: n^2 draws. */
void gh_mask_at(gh_stream ratio, gh_stream order, uint64_t ordinal, int64_t n, double low, double high, int32_t *mask);
/* No mask of n positions with ratios up to `high` masks more positions than this. */
int64_t gh_mask_most(int64_t n, double high);

#endif
