/* Samples in chunks, for ops that process a batch sample by sample (random numbers, weighted losses): a row of the row
 * mechanism is SAMPLE_CHUNK elements of one sample, whole blocks of four random numbers. SAMPLE_ROW declares `sample`,
 * `first` (the chunk's first element in the sample) and `count`; the host side is gh_grid_samples (ops/sample.h). */
#ifndef GH_CL_SAMPLE_H
#define GH_CL_SAMPLE_H

#include "philox.h"
#include "step.h"

#define SAMPLE_ROW(samples, n)                                                                                         \
  const int64 sample_chunks = ((n) + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;                                                 \
  ROW((samples)*sample_chunks);                                                                                        \
  const int64 sample = row / sample_chunks, first = row % sample_chunks * SAMPLE_CHUNK;                                \
  const int64 count = min((int64)SAMPLE_CHUNK, (n)-first)

/* The ordinal of the micro-batch's sample 0 in the run's stream. */
inline uint64 step_ordinal(GLOBAL const uint32 *step) {
  return (uint64)step[STEP_ORDINAL_LO] | (uint64)step[STEP_ORDINAL_HI] << 32;
}
inline float step_float(GLOBAL const uint32 *step, int word) { return GH_AS_FLOAT(step[word]); }
/* Samples past STEP_SAMPLES are fillers of the micro-batch, with weight 0. */
inline float step_weight(GLOBAL const uint32 *step, int64 sample) {
  return sample < (int64)step[STEP_SAMPLES] ? step_float(step, STEP_WEIGHT) : 0.0f;
}

#endif
