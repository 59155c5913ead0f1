/* Sums and maxima over the LANES of a row (a power of two), in the GPU's shape: a fixed tree, in which lane L takes
 * what lane L + LANES / 2 has, then L + LANES / 4, to L + 1. All lanes get the result. The order does not depend on the
 * device: with SUB_GROUP, so many neighbouring work-items exchange numbers without local memory, and that only replaces
 * the tree's last steps. There each lane combines its number with that of lane L ^ step, so that all lanes of a step's
 * pair get the same number, to the bit, since the order of two operands does not matter.
 *
 * SUB_GROUP comes from the host (backend/kernel_source.h): a power of two that divides the width of the device's
 * sub-groups, to which neighbouring work-items belong. NVIDIA: shfl.sync. AMD: data-parallel primitives and ds_swizzle,
 * which exchange within 32 lanes for waves of either width. Intel: cl_intel_subgroups. Elsewhere a CPU emulates it, for
 * tests. */
#ifndef GH_ROW_REDUCE_H
#define GH_ROW_REDUCE_H

#ifdef SUB_GROUP
#if defined(__x86_64__) || defined(__aarch64__)
/* PoCL copies what follows a barrier under a condition, once more for each: here there is none. */
#define SUB_EMULATED
#define SUB_IF(condition)
#define SUB_EXCHANGE(step, v, s) sub_emulated(v, step, s)
inline float sub_emulated(float v, int step, LOCAL_PTR float *s) {
  const int item = LOCAL_ID(1) * LANES + LANE;
  BARRIER();
  s[item] = v;
  BARRIER();
  return s[item ^ step];
}
#elif defined(__AMDGCN__)
#define SUB_EXCHANGE(step, v, s) as_float(SUB_SWAP_##step(as_int(v)))
#define SUB_DPP(bits, control)   __builtin_amdgcn_update_dpp(bits, bits, control, 15, 15, true)
#define SUB_SWAP_1(bits)         SUB_DPP(bits, 0xB1)                                /* quad_perm: 1 0 3 2 */
#define SUB_SWAP_2(bits)         SUB_DPP(bits, 0x4E)                                /* quad_perm: 2 3 0 1 */
#define SUB_SWAP_4(bits)         __builtin_amdgcn_ds_swizzle(bits, 4 << 10 | 0x1F)  /* lane ^ 4 */
#define SUB_SWAP_8(bits)         SUB_DPP(bits, 0x128)                               /* row_ror:8, of 16 lanes */
#define SUB_SWAP_16(bits)        __builtin_amdgcn_ds_swizzle(bits, 16 << 10 | 0x1F) /* lane ^ 16 */
#elif defined(cl_intel_subgroups)
#define SUB_EXCHANGE(step, v, s) intel_sub_group_shuffle_xor(v, (uint)(step))
#else /* NVIDIA */
#define SUB_EXCHANGE(step, v, s) sub_swapped(v, step)
inline float sub_swapped(float v, int step) {
  float other;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(other) : "f"(v), "r"(step));
  return other;
}
#endif
#ifdef SUB_EMULATED
#define SUB_STEP(step, both)                                                                                           \
  other = SUB_EXCHANGE(step < lanes ? step : 0, v, s);                                                                 \
  v = step < SUB_GROUP && step < lanes ? both(v, other) : v;
#else
#define SUB_IF(condition) if (condition)
#define SUB_STEP(step, both)                                                                                           \
  if (step < SUB_GROUP && step < lanes) {                                                                              \
    other = SUB_EXCHANGE(step, v, s);                                                                                  \
    v = both(v, other);                                                                                                \
  }
#endif
#define SUB_STEPS(both) SUB_STEP(16, both) SUB_STEP(8, both) SUB_STEP(4, both) SUB_STEP(2, both) SUB_STEP(1, both)
#define ROW_REDUCE(name, both)                                                                                         \
  inline float name(float v, LOCAL_PTR float *s) {                                                                     \
    const int lanes = LANES;                                                                                           \
    float other;                                                                                                       \
    SUB_IF(lanes > SUB_GROUP) v = name##_tree(v, s, SUB_GROUP);                                                        \
    SUB_STEPS(both)                                                                                                    \
    return v;                                                                                                          \
  }
#else
#define ROW_REDUCE(name, both)                                                                                         \
  inline float name(float v, LOCAL_PTR float *s) { return name##_tree(v, s, 1); }
#endif

#define ROW_SCRATCH(s) LOCAL float s[GROUP_ITEMS]
/* The steps of the tree down to `width` numbers; each lane gets that of its place among them. */
#define ROW_TREE(name, both)                                                                                           \
  inline float name##_tree(float v, LOCAL_PTR float *s, int width) {                                                   \
    LOCAL_PTR float *mine = s + LOCAL_ID(1) * LANES;                                                                   \
    BARRIER();                                                                                                         \
    mine[LANE] = v;                                                                                                    \
    BARRIER();                                                                                                         \
    for (int step = LANES / 2; step >= width; step /= 2) {                                                             \
      if (LANE < step) mine[LANE] = both(mine[LANE], mine[LANE + step]);                                               \
      BARRIER();                                                                                                       \
    }                                                                                                                  \
    return mine[LANE & (min(width, (int)LANES) - 1)];                                                                  \
  }
inline float row_plus(float a, float b) { return a + b; }

ROW_TREE(row_sum, row_plus)
ROW_TREE(row_max, fmax)
ROW_REDUCE(row_sum, row_plus)
ROW_REDUCE(row_max, fmax)

#endif
