/* The dialect of the kernels: about a dozen words that OpenCL C and CUDA (NVRTC) both understand, and the two machine
 * shapes that a kernel is compiled for.
 *
 *   CPU_SHAPE   a work-group is one work-item; it owns a row (or a block of elements) and walks it in vectors of 16
 *   otherwise   a work-group is LANES x rows work-items (at most GROUP_ITEMS); LANES of them share a row, and VW is 1
 *
 * Kernels are written once against `vec` (VW floats), LANE/LANES and the loops below. Rules: no `local` pointer
 * arguments of kernels (LOCAL declares an array in a kernel, LOCAL_PTR a pointer to one), no vector casts or swizzles,
 * 64-bit element offsets, no float atomics, fixed-width integers, no library exp/tanh/erf (their last bits differ
 * between vendors): use vec_exp and friends of functions.h.
 *
 * Arithmetic is float32 whatever ELEM, the storage type of the program, is: float, bf16 with -DELEM_BF16 or f16 with
 * -DELEM_F16. A kernel declares as `float` what is float32 in any program (statistics, sums, the residual stream), as
 * NARROW_ELEM what is never float32, and as ELEM the rest.
 */
#include "bf16.h"
#include "f16.h"
#include "launch.h"

#if defined(__OPENCL_VERSION__) || defined(__OPENCL_C_VERSION__) /* a bare clang defines only the second */
#pragma OPENCL FP_CONTRACT OFF
#ifdef __clang__ /* `row_valid && LANE == 0` is constant in one of the two shapes, intentionally */
#pragma clang diagnostic ignored "-Wconstant-logical-operand"
#if defined(CPU_SHAPE) && defined(__x86_64__) && !defined(__AVX512F__)
/* Without AVX-512 a vec is passed in two registers. All functions of a program are compiled alike, so this is safe. */
#pragma clang diagnostic ignored "-Wpsabi"
#endif
#endif
#ifdef __AMDGCN__ /* with C99's plain inline a compiler may call an undefined function, and AMD's does */
#define inline static inline __attribute__((always_inline))
#define INLINE_IS_STATIC
#endif
/* For a kernel that holds many numbers in registers; `groups`: how many of its work-groups should be resident on an
 * NVIDIA multiprocessor. Intel's compiler prefers sub-groups of 32 even if the numbers then spill: its devices with
 * float64 have registers for 16 work-items of 128 numbers; on the others it finds the right width itself. */
#if !defined(CPU_SHAPE) && defined(cl_intel_required_subgroup_size) && defined(cl_khr_fp64)
#define KERNEL_DENSE(x, y, z, groups) KERNEL_SIZED(x, y, z) __attribute__((intel_reqd_sub_group_size(16)))
#else
#define KERNEL_DENSE(x, y, z, groups) KERNEL_SIZED(x, y, z)
#endif
#define KERNEL                __kernel
#define KERNEL_SIZED(x, y, z) __kernel __attribute__((reqd_work_group_size(x, y, z)))
#define GLOBAL                __global
#define LOCAL                 __local
#define LOCAL_PTR             __local
#define CONSTANT              __constant
#define RESTRICT              restrict
#define BARRIER()             barrier(CLK_LOCAL_MEM_FENCE)
#define BARRIER_GLOBAL()      barrier(CLK_GLOBAL_MEM_FENCE) /* orders the group's accesses to buffers */
typedef int int32;
typedef uint uint32;
typedef long int64;
typedef ulong uint64;
#define GROUP(d)      ((int)get_group_id(d))
#define LOCAL_ID(d)   ((int)get_local_id(d))
#define LOCAL_SIZE(d) ((int)get_local_size(d))
#define GROUPS(d)     ((int)get_num_groups(d))
#elif defined(                                                                                                         \
    __CUDACC_RTC__) /* with gh_kernel_cuda_options of backend/kernel_source.h: every function is a device function */
#ifdef CPU_SHAPE
#error "CUDA devices need the GPU shape"
#endif
#define KERNEL                        extern "C" __global__ __launch_bounds__(GROUP_ITEMS)
#define KERNEL_SIZED(x, y, z)         extern "C" __global__ __launch_bounds__((x) * (y) * (z))
#define KERNEL_DENSE(x, y, z, groups) extern "C" __global__ __launch_bounds__((x) * (y) * (z), groups)
#define GLOBAL
#define LOCAL __shared__
#define LOCAL_PTR
#define CONSTANT             __constant__
#define RESTRICT             __restrict__
#define BARRIER()            __syncthreads()
#define BARRIER_GLOBAL()     __syncthreads()
typedef unsigned int uint;
typedef int int32;
typedef uint uint32;
typedef long long int64;
typedef unsigned long long uint64;
#define CUDA_DIMENSION(v, d) ((int)((d) == 0 ? v.x : (d) == 1 ? v.y : v.z))
#define GROUP(d)             CUDA_DIMENSION(blockIdx, d)
#define LOCAL_ID(d)          CUDA_DIMENSION(threadIdx, d)
#define LOCAL_SIZE(d)        CUDA_DIMENSION(blockDim, d)
#define GROUPS(d)            CUDA_DIMENSION(gridDim, d)
inline float as_float(int bits) { return __int_as_float(bits); }
inline float as_float(uint bits) { return __uint_as_float(bits); }
inline int as_int(float number) { return __float_as_int(number); }
inline uint as_uint(float number) { return __float_as_uint(number); }
inline uint mul_hi(uint a, uint b) { return __umulhi(a, b); }
#else
#error "this compiler is not supported yet"
#endif

/* Unrolls loops over a work-item's own array, which some compilers otherwise keep in memory. Not when a CPU emulates a
 * GPU: around barriers that makes compilation many times slower, for no gain. */
#if defined(__OPENCL_C_VERSION__) && (defined(__x86_64__) || defined(__aarch64__))
#define UNROLL
#define UNROLL_BY(n)
#else
#define UNROLL       _Pragma("unroll")
#define UNROLL_BY(n) GH_PRAGMA(unroll n)
#define GH_PRAGMA(x) _Pragma(#x)
#endif

/* ---- storage: LD and ST are the only access to an ELEM; they and the vector loads and stores below accept pointers to
 * float, to bf16 and to f16 ---- */

#ifdef __cplusplus
#define OVERLOAD
#else
#define OVERLOAD __attribute__((overloadable))
#endif

/* The upper half of a float32. A struct, so that its bits cannot be mistaken for its value. */
typedef struct bf16 {
  unsigned short bits;
} bf16;

/* Rounds to nearest, ties to even; overflows to infinity; NaN propagates. */
inline uint32 bf16_bits(float v) {
  const uint32 bits = as_uint(v);
  return BF16_IS_NAN(bits) ? BF16_OF_NAN(bits) : BF16_NEAREST(bits);
}

/* Half precision, IEEE 754's binary16. */
typedef struct f16 {
  unsigned short bits;
} f16;

/* Rounds to nearest, ties to even; subnormal numbers are exact; overflows to infinity; NaN propagates. Devices convert
 * in one instruction, but not all CPUs do, and their compilers' own way is slow: f16.h. */
#if defined(__CUDACC_RTC__) && !defined(__x86_64__) && !defined(__aarch64__)
inline float f16_value(uint32 bits) {
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"((unsigned short)bits));
  return v;
}
inline uint32 f16_bits(float v) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
}
#elif defined(__x86_64__) || defined(__aarch64__)
inline float f16_value(uint32 bits) {
  if (F16_IS_SUBNORMAL(bits)) return as_float(F16_TOP(bits) | as_uint(as_float(F16_GUESS(bits)) - 0x1p-14f));
  return as_float(F16_IS_SPECIAL(bits) ? F16_SPECIAL(bits) : F16_WIDE(bits));
}
inline uint32 f16_bits(float v) {
  const uint32 bits = as_uint(v);
  if (F16_IS_NAN(bits)) return F16_OF_NAN(bits);
  if (F16_IS_HUGE(bits)) return F16_OF_HUGE(bits);
  return F16_IS_SMALL(bits) ? F16_OF_SMALL(bits, as_uint(fabs(v) + 0.5f)) : F16_NEAREST(bits);
}
#else /* of OpenCL's core: no extension is needed to convert */
inline float f16_value(uint32 bits) {
  const ushort stored = (ushort)bits;
  return vload_half(0, (const half *)&stored);
}
inline uint32 f16_bits(float v) {
  ushort stored;
  vstore_half_rte(v, 0, (half *)&stored);
  return stored;
}
#endif

inline float OVERLOAD elem_value(GLOBAL const float *p) { return *p; }
inline float OVERLOAD elem_value(GLOBAL const bf16 *p) { return as_float((uint32)p->bits << 16); }
inline float OVERLOAD elem_value(GLOBAL const f16 *p) { return f16_value(p->bits); }
inline void OVERLOAD elem_put(GLOBAL float *p, float v) { *p = v; }
inline void OVERLOAD elem_put(GLOBAL bf16 *p, float v) { p->bits = (unsigned short)bf16_bits(v); }
inline void OVERLOAD elem_put(GLOBAL f16 *p, float v) { p->bits = (unsigned short)f16_bits(v); }

#if defined(ELEM_F16)
#define ELEM        f16
#define NARROW_ELEM f16
#elif defined(ELEM_BF16)
#define ELEM        bf16
#define NARROW_ELEM bf16
#else
#define ELEM        float
#define NARROW_ELEM bf16
#endif
#define LD(p, i)    elem_value((p) + (i))
#define ST(p, i, v) elem_put((p) + (i), v)

/* ---- vectors ---- */

#ifdef CPU_SHAPE
#define VW CPU_VECTOR
typedef float16 vec;
typedef int16 veci;
typedef uint16 uvec;
typedef ulong8 wvec; /* lanes of 64 bits */
#define VEC(x)         ((vec)(x))
#define VEC_FROM(part) vload16(0, part) /* of a private float[VW] */
#define VEC_AS_INT(v)  as_int16(v)
#define INT_AS_VEC(v)  as_float16(v)
#define VEC_AS_UINT(v) as_uint16(v)
#define UINT_AS_VEC(v) as_float16(v)
#define VEC_TO_INT(v)  convert_int16(v)
#define INT_TO_VEC(v)  convert_float16(v)
#define UVEC_AS_INT(v) as_int16(v)
#define WVEC(x)        ((wvec)(x))
#define WVEC_LANES     8
#define VEC_FIRST(v)   ((v).s0)
#define LANE           0
#define LANES          1

/* Prefetches the cache line at p; a no-op if the compiler cannot. */
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#else
#define PREFETCH(p) (void)(p)
#endif

/* PoCL's vstore16 of this type works element by element. */
typedef ushort16 loose_ushort16 __attribute__((aligned(2)));

/* f16_value and f16_bits, 16 at a time. */
inline vec f16_values(ushort16 stored) {
  const uvec half_bits = convert_uint16(stored);
  const uvec small = F16_TOP(half_bits) | as_uint16(as_float16(F16_GUESS(half_bits)) - 0x1p-14f);
  const uvec large = F16_IS_SPECIAL(half_bits) ? F16_SPECIAL(half_bits) : F16_WIDE(half_bits);
  return as_float16(F16_IS_SUBNORMAL(half_bits) ? small : large);
}
inline ushort16 f16_rounded(vec v) {
  const uvec bits = as_uint16(v), small = F16_OF_SMALL(bits, as_uint16(fabs(v) + 0.5f));
  const uvec finite = F16_IS_SMALL(bits) ? small : F16_NEAREST(bits);
  const uvec number = F16_IS_HUGE(bits) ? F16_OF_HUGE(bits) : finite;
  return convert_ushort16(F16_IS_NAN(bits) ? F16_OF_NAN(bits) : number);
}

inline vec OVERLOAD vec_raw_load(GLOBAL const float *p) { return vload16(0, p); }
inline vec OVERLOAD vec_raw_load(GLOBAL const bf16 *p) {
  return as_float16(convert_uint16(vload16(0, (GLOBAL const ushort *)p)) << 16);
}
inline vec OVERLOAD vec_raw_load(GLOBAL const f16 *p) { return f16_values(vload16(0, (GLOBAL const ushort *)p)); }
inline void OVERLOAD vec_raw_store(GLOBAL float *p, vec v) { vstore16(v, 0, p); }
inline void OVERLOAD vec_raw_store(GLOBAL bf16 *p, vec v) { /* bf16_bits, 16 at a time */
  const uvec bits = as_uint16(v), kept = BF16_IS_NAN(bits) ? BF16_OF_NAN(bits) : BF16_NEAREST(bits);
  *(GLOBAL loose_ushort16 *)p = convert_ushort16(kept);
}
inline void OVERLOAD vec_raw_store(GLOBAL f16 *p, vec v) { *(GLOBAL loose_ushort16 *)p = f16_rounded(v); }

inline float vec_sum(vec v) { /* a fixed tree */
  float8 a = v.lo + v.hi;
  float4 b = a.lo + a.hi;
  float2 c = b.lo + b.hi;
  return c.x + c.y;
}
inline float vec_max(vec v) {
  float8 a = fmax(v.lo, v.hi);
  float4 b = fmax(a.lo, a.hi);
  float2 c = fmax(b.lo, b.hi);
  return fmax(c.x, c.y);
}
/* to[i] += the sum of v[i], for eight vectors together: a fixed tree with fewer shuffles than eight separate sums. */
inline vec vec_halves_sum(vec a, vec b) { /* eight of a, eight of b */
  return (vec)(a.lo, b.lo) + (vec)(a.hi, b.hi);
}
inline vec vec_quarters_sum(vec a, vec b) { /* of runs of eight, four each */
  return (vec)(a.s0123, a.s89ab, b.s0123, b.s89ab) + (vec)(a.s4567, a.scdef, b.s4567, b.scdef);
}
inline vec vec_eighths_sum(vec a, vec b) { /* of runs of four, two each */
  return (vec)(a.s014589cd, b.s014589cd) + (vec)(a.s2367abef, b.s2367abef);
}
inline void vec_add_sums8(float *to, const vec *v) {
  const vec a = vec_quarters_sum(vec_halves_sum(v[0], v[1]), vec_halves_sum(v[2], v[3]));
  const vec b = vec_quarters_sum(vec_halves_sum(v[4], v[5]), vec_halves_sum(v[6], v[7]));
  const vec c = vec_eighths_sum(a, b);
  vstore8(vload8(0, to) + c.even + c.odd, 0, to);
}
/* In adjacent pairs: swapped; the first twice; the second twice. */
inline vec vec_swap_pairs(vec v) { return v.s1032547698badcfe; }
inline vec vec_even_pairs(vec v) { return v.s0022446688aaccee; }
inline vec vec_odd_pairs(vec v) { return v.s1133557799bbddff; }
/* Interleaves the lanes of the low or high halves: a0 b0 a1 b1 ... */
inline vec vec_zip_low(vec a, vec b) {
  return (vec)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7);
}
inline vec vec_zip_high(vec a, vec b) {
  return (vec)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf);
}
/* The even, or odd, lanes of both. */
inline vec vec_evens(vec a, vec b) { return (vec)(a.even, b.even); }
inline vec vec_odds(vec a, vec b) { return (vec)(a.odd, b.odd); }
/* Four vectors to the order a0 b0 c0 d0 a1 ... */
inline void vec_interleave4(vec *v) {
  const vec ac_low = vec_zip_low(v[0], v[2]), ac_high = vec_zip_high(v[0], v[2]);
  const vec bd_low = vec_zip_low(v[1], v[3]), bd_high = vec_zip_high(v[1], v[3]);
  v[0] = vec_zip_low(ac_low, bd_low);
  v[1] = vec_zip_high(ac_low, bd_low);
  v[2] = vec_zip_low(ac_high, bd_high);
  v[3] = vec_zip_high(ac_high, bd_high);
}
/* The blocks of four words whose first to fourth words the low halves of a, b, c and d have: first those of the even
 * lanes, then those of the odd ones, so that whole lanes are interleaved. */
inline wvec wvec_blocks(void) { return (wvec)(0, 4, 1, 5, 2, 6, 3, 7); }
inline wvec wvec_of_low_halves(uvec a, uvec b) { /* not by a shift, which compilers merge with a product: slow */
  return as_ulong8(
      (uvec)(a.s0, b.s0, a.s2, b.s2, a.s4, b.s4, a.s6, b.s6, a.s8, b.s8, a.sa, b.sa, a.sc, b.sc, a.se, b.se));
}
inline void uvecs_of_wvecs(uvec *words, wvec a, wvec b, wvec c, wvec d) {
  const wvec ab = wvec_of_low_halves(as_uint16(a), as_uint16(b)), cd = wvec_of_low_halves(as_uint16(c), as_uint16(d));
  words[0] = as_uint16((wvec)(ab.s0, cd.s0, ab.s2, cd.s2, ab.s4, cd.s4, ab.s6, cd.s6));
  words[1] = as_uint16((wvec)(ab.s1, cd.s1, ab.s3, cd.s3, ab.s5, cd.s5, ab.s7, cd.s7));
}
inline veci vec_index(void) { return (veci)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
#else
#define VW             1
typedef float vec;
typedef int veci;
typedef uint uvec;
typedef uint64 wvec;
#define VEC(x)         ((float)(x))
#define VEC_FROM(part) ((part)[0])
#define VEC_AS_INT(v)  as_int(v)
#define INT_AS_VEC(v)  as_float(v)
#define VEC_AS_UINT(v) as_uint(v)
#define UINT_AS_VEC(v) as_float(v)
#define VEC_TO_INT(v)  ((int)(v))
#define INT_TO_VEC(v)  ((float)(v))
#define UVEC_AS_INT(v) ((int)(v))
#define WVEC(x)        ((uint64)(x))
#define WVEC_LANES     1
#define VEC_FIRST(v)   (v)
#define LANE           LOCAL_ID(0)
#define LANES          LOCAL_SIZE(0)
inline vec OVERLOAD vec_raw_load(GLOBAL const float *p) { return elem_value(p); }
inline vec OVERLOAD vec_raw_load(GLOBAL const bf16 *p) { return elem_value(p); }
inline vec OVERLOAD vec_raw_load(GLOBAL const f16 *p) { return elem_value(p); }
inline void OVERLOAD vec_raw_store(GLOBAL float *p, vec v) { elem_put(p, v); }
inline void OVERLOAD vec_raw_store(GLOBAL bf16 *p, vec v) { elem_put(p, v); }
inline void OVERLOAD vec_raw_store(GLOBAL f16 *p, vec v) { elem_put(p, v); }
inline float vec_sum(vec v) { return v; }
inline float vec_max(vec v) { return v; }
inline void vec_interleave4(vec *v) { (void)v; }
inline wvec wvec_blocks(void) { return 0; }
inline void uvecs_of_wvecs(uvec *words, wvec a, wvec b, wvec c, wvec d) {
  words[0] = (uint)a;
  words[1] = (uint)b;
  words[2] = (uint)c;
  words[3] = (uint)d;
}
inline veci vec_index(void) { return 0; }
#endif

#define VEC_RAW_LOAD(p, i)     vec_raw_load((p) + (i))
#define VEC_RAW_STORE(p, i, v) vec_raw_store((p) + (i), v)

/* Elements [i, i + VW) of a run of n; elements at and past n read as 0 and are not stored. For each element type: */
#ifdef CPU_SHAPE
#define VEC_LOAD_AND_STORE(type)                                                                                       \
  inline vec OVERLOAD vec_load(GLOBAL const type *p, int64 i, int64 n) {                                               \
    if (i + VW <= n) return VEC_RAW_LOAD(p, i);                                                                        \
    float part[VW];                                                                                                    \
    for (int k = 0; k < VW; k++) part[k] = i + k < n ? LD(p, i + k) : 0.0f;                                            \
    return VEC_FROM(part);                                                                                             \
  }                                                                                                                    \
  inline void OVERLOAD vec_store(GLOBAL type *p, int64 i, int64 n, vec v) {                                            \
    if (i + VW <= n) {                                                                                                 \
      VEC_RAW_STORE(p, i, v);                                                                                          \
      return;                                                                                                          \
    }                                                                                                                  \
    float part[VW];                                                                                                    \
    vstore16(v, 0, part);                                                                                              \
    for (int k = 0; k < VW && i + k < n; k++) ST(p, i + k, part[k]);                                                   \
  }
#else
#define VEC_LOAD_AND_STORE(type)                                                                                       \
  inline vec OVERLOAD vec_load(GLOBAL const type *p, int64 i, int64 n) { return VEC_RAW_LOAD(p, i); }                  \
  inline void OVERLOAD vec_store(GLOBAL type *p, int64 i, int64 n, vec v) { VEC_RAW_STORE(p, i, v); }
#endif
VEC_LOAD_AND_STORE(float)
VEC_LOAD_AND_STORE(bf16)
VEC_LOAD_AND_STORE(f16)

/* v with the lanes at and past n replaced by `other`: for the tail of a reduction. */
inline vec vec_keep(vec v, int64 i, int64 n, float other) {
#ifdef CPU_SHAPE
  if (i + VW > n) return vec_index() < (veci)((int)(n - i)) ? v : VEC(other);
#endif
  return v;
}

/* ---- mechanism 1: elements ---- a flat range of n elements (gh_grid_elements) */

#ifdef CPU_SHAPE
#define FOR_ELEMENTS(i, n)                                                                                             \
  for (int64 i = (int64)GROUP(0) * ELEMENT_BLOCK, i##_end = min(i + ELEMENT_BLOCK, (int64)(n)); i < i##_end; i += VW)
#else
#define FOR_ELEMENTS(i, n) for (int64 i = (int64)GROUP(0) * LANES + LANE; i < (int64)(n); i += (int64)GROUPS(0) * LANES)
#endif

/* The same for kernels that do little with what they load. A compiler must keep the order of loads and stores that may
 * alias, so a work-item of FOR_ELEMENTS has only one element's loads in flight, perhaps two bytes. Here it processes
 * TOGETHER elements in two passes, one to load and one to store:
 *   FOR_ELEMENTS_TOGETHER(first, n) {
 *     vec v[TOGETHER];
 *     EACH(k, i, first, n) v[k] = vec_load(x, i, n);
 *     EACH(k, i, first, n) vec_store(y, i, n, f(v[k]));
 *   } */
#ifdef CPU_SHAPE
#define TOGETHER                    1
#define FOR_ELEMENTS_TOGETHER(i, n) FOR_ELEMENTS(i, n)
#define EACH(k, i, first, n)        for (int64 k = 0, i = first; k < 1; k++)
#else
#define TOGETHER     4
#define ELEMENT_STEP ((int64)GROUPS(0) * LANES)
#define FOR_ELEMENTS_TOGETHER(i, n)                                                                                    \
  for (int64 i = (int64)GROUP(0) * LANES + LANE; i < (int64)(n); i += TOGETHER * ELEMENT_STEP)
#define EACH(k, i, first, n)                                                                                           \
  UNROLL for (int64 k = 0, i = first; k < TOGETHER; k++, i += ELEMENT_STEP) if (i < (int64)(n))
#endif

/* ---- mechanism 2: rows ---- one row of `columns` elements per LANES-wide team (gh_grid_rows).
 * ROW(rows) declares `row` and `row_valid`: teams past the end redo the last row, so that every work-item reaches every
 * barrier; they must not store: STORE only `if (row_valid)`. ONE_ROW declares only `row_valid`, for a single row. */

#ifdef CPU_SHAPE
#define ROW(rows)                                                                                                      \
  const int64 row = GROUP(0);                                                                                          \
  const bool row_valid = true
#define ONE_ROW        const bool row_valid = true
#define ROW_SCRATCH(s) const int s = 0
#define row_sum(v, s)  vec_sum(v)
#define row_max(v, s)  vec_max(v)
#else
#define ROW(rows)                                                                                                      \
  const int64 row_asked = (int64)GROUP(0) * LOCAL_SIZE(1) + LOCAL_ID(1);                                               \
  const bool row_valid = row_asked < (int64)(rows);                                                                    \
  const int64 row = row_valid ? row_asked : (int64)(rows)-1
#define ONE_ROW const bool row_valid = GROUP(0) == 0 && LOCAL_ID(1) == 0
#include "row_reduce.h"
#endif
#ifdef __CUDACC_RTC__ /* with a precomputed trip count NVIDIA's compiler unrolls, with four loads in flight */
typedef struct column_turns {
  int64 at;
  uint32 left;
} column_turns;
inline column_turns columns_of_lane(int64 columns) {
  column_turns turns;
  turns.at = LANE;
  turns.left = ((uint32)columns + (uint32)(LANES - 1 - LANE)) / (uint32)LANES;
  return turns;
}
#define FOR_COLUMNS(i, columns)                                                                                        \
  UNROLL_BY(4)                                                                                                         \
  for (column_turns i##_turns = columns_of_lane(columns); i##_turns.left; i##_turns.left--, i##_turns.at += LANES)     \
    for (int64 i = i##_turns.at, i##_once = 1; i##_once; i##_once = 0)
#else
#define FOR_COLUMNS(i, columns) for (int64 i = (int64)LANE * VW; i < (int64)(columns); i += (int64)LANES * VW)
#endif

/* The same as FOR_ELEMENTS_TOGETHER for a row's columns: TOGETHER loads are in flight, and the order is that of
 * FOR_COLUMNS. Compilers for AMD and Intel do not unroll that one. */
#ifdef CPU_SHAPE
#define FOR_COLUMNS_TOGETHER(i, columns)  FOR_COLUMNS(i, columns)
#define EACH_COLUMN(k, i, first, columns) EACH(k, i, first, columns)
#else
#define FOR_COLUMNS_TOGETHER(i, columns) for (int64 i = LANE; i < (int64)(columns); i += TOGETHER * (int64)LANES)
#define EACH_COLUMN(k, i, first, columns)                                                                              \
  UNROLL for (int64 k = 0, i = first; k < TOGETHER; k++, i += LANES) if (i < (int64)(columns))
#endif

#include "pieces.h"

/* ---- mechanism 3: column reductions ---- pass 1 sums chunks of rows into partials, pass 2 (reduce.cl) sums the
 * partials. COLUMN declares `column`, the first of VW columns, and `chunk` (gh_grid_columns). There are no barriers, so
 * a kernel begins with
 *   COLUMN(columns);
 *   if (column >= columns) return; */

#define COLUMN(columns)                                                                                                \
  const int64 column = ((int64)GROUP(0) * LANES + LANE) * VW;                                                          \
  const int64 chunk = GROUP(1)
