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

/* A bijection of [0, n), n >= 1, position < n: the place of `position` in the stream's shuffle. */
uint64_t gh_permute(gh_stream stream, uint64_t position, uint64_t n);

/* The same, with a separate shuffle for each sample ordinal. */
uint64_t gh_permute_at(gh_stream stream, uint64_t ordinal, uint64_t position, uint64_t n);

/* An integer of [0, n), n >= 1, with negligible bias (64 bits scaled down). Consumes the whole block `element`, not a
 * quarter of it: do not draw from one stream both this way and by elements. */
uint64_t gh_stream_below(gh_stream stream, uint64_t ordinal, int64_t element, uint64_t n);

#endif
