/* The smallest kernels: for the tests of the device interface, and for the arithmetic peak of benchmarks. */
#include "platform.h"

/* y[i] = scale * x[offset + i] + (bias ? bias[i] : 0), one work-item per element. */
KERNEL void probe_axpy(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *bias, int32 n, int64 offset,
                       float scale) {
  const int64 i = (int64)GROUP(0) * LOCAL_SIZE(0) + LOCAL_ID(0);
  if (i < n) y[i] = scale * x[offset + i] + (bias ? bias[i] : 0.0f);
}

/* Fused multiply-adds in registers only: PROBE_CHAINS independent chains, `rounds` long, of numbers or, in the CPU's
 * shape, of vectors. A work-item stores one float. */
#ifdef CPU_SHAPE
#define PROBE_SUM(v) vec_sum(v)
#else
#define PROBE_SUM(v) (v)
#endif
#if PROBE_CHAINS != 16
#error "CHAINS lists another number of chains"
#endif
#define CHAINS(DO) FIRST(DO) MIDDLE(DO) LAST(DO)
#define FIRST(DO)  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define MIDDLE(DO) DO(6) DO(7) DO(8) DO(9) DO(10)
#define LAST(DO)   DO(11) DO(12) DO(13) DO(14) DO(15)
#define ROUNDS(chains)                                                                                                 \
  for (int32 r = 0; r < rounds; r++) {                                                                                 \
    chains(STEP)                                                                                                       \
  }
#define DECLARE(i) vec c##i = VEC(y[i]);
#define STEP(i)    c##i = fma(a, c##i, b);
#define ADD(i)     sum += c##i;

KERNEL void probe_fma_peak(GLOBAL float *y, int32 rounds, float first, float second) {
  const vec a = VEC(first), b = VEC(second);
  CHAINS(DECLARE)
#ifdef NARROW_VECTORS /* as many chains at a time as fit into AVX2's 16 registers */
  ROUNDS(FIRST)
  ROUNDS(MIDDLE)
  ROUNDS(LAST)
#else
  ROUNDS(CHAINS)
#endif
  vec sum = VEC(0.0f);
  CHAINS(ADD)
  y[PROBE_CHAINS + (int64)GROUP(0) * LOCAL_SIZE(0) + LOCAL_ID(0)] = PROBE_SUM(sum);
}

/* Streams of memory. A group has its own part of n / groups numbers and goes through it `rounds` times, in turn from a
 * to b and back, so that the working set is the caller's choice. n is a multiple of groups x LANES x VW. */
#define STREAM(value)                                                                                                  \
  const int64 part = n / GROUPS(0), first = GROUP(0) * part + (int64)LANE * VW, end = (GROUP(0) + 1) * part;           \
  for (int32 r = 0; r < rounds; r++) {                                                                                 \
    GLOBAL const float *from = r % 2 ? b : a;                                                                          \
    GLOBAL float *to = r % 2 ? a : b;                                                                                  \
    for (int64 i = first; i < end; i += (int64)LANES * VW) VEC_RAW_STORE(to, i, value);                                \
  }

KERNEL void probe_copy(GLOBAL float *a, GLOBAL float *b, int64 n, int32 rounds){STREAM(VEC_RAW_LOAD(from, i))}

KERNEL void probe_triad(GLOBAL float *a, GLOBAL float *b, GLOBAL const float *c, int64 n, int32 rounds, float scale) {
  STREAM(fma(VEC(scale), VEC_RAW_LOAD(c, i), VEC_RAW_LOAD(from, i)))
}
