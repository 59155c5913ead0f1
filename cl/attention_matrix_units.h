/* The matrix-unit operations that attention needs besides products (gemm_matrix_units.h).
 *
 * UNIT_MMA: asynchronous copies into local memory, fragments read from there, sums along a row of C, and C's fragments
 * as A's:
 *
 *   cp.async      16 (or 4) bytes from global to local memory, bypassing the registers
 *   ldmatrix      four 8 x 8 matrices of 16 bits a number; lane 8 i + r supplies the address of row r of matrix i; it
 *                 receives word lane % 4 of row lane / 4 of each; transposed: rows 2 (lane % 4) and the next of column
 *                 lane / 4
 *   shfl.sync     lanes 4 r to 4 r + 3 hold row r of C (and row r + 8)
 *   redux.sync    the bits of all lanes, combined by or
 *   ex2.approx    2^x, 2 units in the last place
 *
 * UNIT_MFMA, UNIT_WMMA, UNIT_DPAS16, UNIT_DPAS8: a lane holds numbers of one column of C and of B; so sums along a
 * column of C, and C's fragments as B's:
 *
 *   ds_bpermute     MFMA: any lane's word. Lanes c, c + 16, c + 32 and c + 48 hold column c
 *   v_permlanex16   WMMA: the word of lane xor 16. Lanes c and c + 16 hold the even and the odd rows of column c
 *   v_exp_f32       2^x, 1 unit in the last place
 *   block reads     DPAS: lane i receives element i of each of 8 successive rows of A, by one message for all
 *                   (cl_intel_subgroups, cl_intel_subgroup_local_block_io). A lane holds a whole column of C
 *
 * With UNIT_EMULATED, lanes exchange data through local memory by the rules above. With AB_F16, numbers of 16 bits are
 * halves instead of bfloat16, as in gemm_matrix_units.h. */
#ifndef ATTENTION_MATRIX_UNITS_H
#define ATTENTION_MATRIX_UNITS_H
#include "functions.h"
#include "gemm_matrix_units.h"

#ifdef WAVE

#define LOG2E 1.44269504f

/* ---- all units ---- */

#ifdef UNIT_EMULATED
#define UNIT_MAY_REST false /* every wave must reach the barriers below */

/* The word of the lane whose number differs in the bits of `across`. */
inline uint32 unit_other_word(uint32 v, int across, UNIT_SCRATCH exchange, int item) {
  BARRIER();
  exchange[item] = v;
  BARRIER();
  return exchange[item ^ across];
}

inline float unit_exp2(float x) { return float_exp(x * LN2); }
#else
#define UNIT_MAY_REST true
#endif

/* Two numbers as a word, the first in the lower half, rounded to nearest even. */
#if defined(UNIT_EMULATED) || !defined(UNIT_MMA)
#ifndef AB_F16
inline uint32 unit_pair(float low, float high) { return bf16_bits(low) | bf16_bits(high) << 16; }
#elif defined(UNIT_EMULATED)
inline uint32 unit_pair(float low, float high) { return f16_bits(low) | f16_bits(high) << 16; }
#else /* by the device's conversion, which rounds so by default */
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
inline uint32 unit_pair(float low, float high) { return as_uint((half2)((half)low, (half)high)); }
#endif
#endif

#ifdef UNIT_MMA

#ifdef UNIT_EMULATED

typedef struct unit_tile {
  LOCAL_PTR uint4 *start; /* the same for all lanes */
  uint32 at;              /* a lane's own place from there on, in units of 16 bytes like all places */
} unit_tile;
inline unit_tile unit_tile_of(LOCAL_PTR uint4 *p) {
  unit_tile tile;
  tile.start = p, tile.at = 0;
  return tile;
}
inline unit_tile unit_beyond(unit_tile tile, int places) {
  tile.at += (uint32)places;
  return tile;
}

inline void unit_copy16(unit_tile tile, int place, GLOBAL const uint4 *from, bool inside) {
  LOCAL_PTR uint32 *to = (LOCAL_PTR uint32 *)(tile.start + tile.at + place);
  GLOBAL const uint32 *words = (GLOBAL const uint32 *)from;
  for (int i = 0; i < 4; i++) to[i] = inside ? words[i] : 0u;
}
inline void unit_copy4(unit_tile tile, int word, GLOBAL const float *from, bool inside) {
  ((LOCAL_PTR uint32 *)(tile.start + tile.at))[word] = inside ? as_uint(*from) : 0u;
}
inline void unit_copies_end(void) {}
inline void unit_copies_wait(void) {}

inline uint32 unit_half_at(unit_tile tile, uint32 place, int column) {
  const uint32 word = ((LOCAL_PTR const uint32 *)(tile.start + place))[column / 2];
  return column % 2 ? word >> 16 : word & 0xffffu;
}

inline void unit_load4(uint32 *words, unit_tile tile, int place, bool turned, UNIT_SCRATCH exchange, int item) {
  const int wave = item / WAVE * WAVE, lane = item % WAVE;
  BARRIER();
  exchange[item] = tile.at + (uint32)place;
  BARRIER();
  for (int i = 0; i < 4; i++) {
    const int first = wave + 8 * i;
    if (turned) {
      const uint32 low = unit_half_at(tile, exchange[first + lane % 4 * 2], lane / 4);
      words[i] = low | unit_half_at(tile, exchange[first + lane % 4 * 2 + 1], lane / 4) << 16;
    } else {
      words[i] = ((LOCAL_PTR const uint32 *)(tile.start + exchange[first + lane / 4]))[lane % 4];
    }
  }
}

inline float unit_other(float v, int across, UNIT_SCRATCH exchange, int item) {
  return as_float(unit_other_word(as_uint(v), across, exchange, item));
}

inline uint32 unit_or(uint32 bits, UNIT_SCRATCH exchange, int item) {
  uint32 all = 0;
  BARRIER();
  exchange[item] = bits;
  BARRIER();
  for (int i = 0; i < WAVE; i++) all |= exchange[item / WAVE * WAVE + i];
  return all;
}

#else

typedef uint32 unit_tile; /* an address in local memory */
#ifdef __CUDACC_RTC__
inline unit_tile unit_tile_of(LOCAL_PTR uint4 *p) { return (uint32)__cvta_generic_to_shared(p); }
#else
inline unit_tile unit_tile_of(LOCAL_PTR uint4 *p) { return (uint32)(size_t)p; }
#endif
inline unit_tile unit_beyond(unit_tile tile, int places) { return tile + 16u * (uint32)places; }

inline void unit_copy16(unit_tile tile, int place, GLOBAL const uint4 *from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(tile + 16 * place), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}
inline void unit_copy4(unit_tile tile, int word, GLOBAL const float *from, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :
               : "r"(tile + 4 * word), "l"(from), "r"(inside ? 4 : 0)
               : "memory");
}
inline void unit_copies_end(void) { asm volatile("cp.async.commit_group;" : : : "memory"); }
inline void unit_copies_wait(void) { asm volatile("cp.async.wait_all;" : : : "memory"); }

inline void unit_load4(uint32 *words, unit_tile tile, int place, bool turned, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  const uint32 at = tile + 16 * place;
  if (turned)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(at)
                 : "memory");
}

inline float unit_other(float v, int across, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  float other;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(other) : "f"(v), "r"(across));
  return other;
}

inline uint32 unit_or(uint32 bits, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  uint32 all;
  asm volatile("redux.sync.or.b32 %0, %1, 0xffffffff;" : "=r"(all) : "r"(bits));
  return all;
}

inline float unit_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
inline uint32 unit_pair(float low, float high) {
  uint32 pair;
#ifdef AB_F16
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#endif
  return pair;
}

#endif

inline float unit_row_max(float v, UNIT_SCRATCH scratch, int item) {
  v = fmax(v, unit_other(v, 1, scratch, item));
  return fmax(v, unit_other(v, 2, scratch, item));
}
inline float unit_row_sum(float v, UNIT_SCRATCH scratch, int item) {
  v += unit_other(v, 1, scratch, item);
  return v + unit_other(v, 2, scratch, item);
}

/* C of two adjacent units, 16 x 16 numbers, as A of the next product. */
inline void unit_as_a(uint32 *a, const float *left, const float *right) {
  a[0] = unit_pair(left[0], left[1]);
  a[1] = unit_pair(left[2], left[3]);
  a[2] = unit_pair(right[0], right[1]);
  a[3] = unit_pair(right[2], right[3]);
}

#else /* ---- the others ---- */

#if defined(UNIT_DPAS16) || defined(UNIT_DPAS8)
/* A is read as a block of 8 rows of 16 numbers, which lie one after another. In local memory a block begins at a
 * multiple of 16 bytes. */
#define UNIT_BLOCKS
#define UNIT_ALIGNED __attribute__((aligned(16)))
#else
#define UNIT_ALIGNED
#endif

#define C_UNITS (16 / UM) /* units of C above one another that make a step of the next product's k */
#define C_WORDS (C_UNITS * C_FLOATS / 2)

#ifndef UNIT_EMULATED
#if defined(UNIT_MFMA)
inline uint32 unit_other_word(uint32 v, int across, UNIT_SCRATCH scratch, int item) {
  (void)scratch;
  return (uint32)__builtin_amdgcn_ds_bpermute(4 * (item % WAVE ^ across), (int)v);
}
#elif defined(UNIT_WMMA)
inline uint32 unit_other_word(uint32 v, int across, UNIT_SCRATCH scratch, int item) {
  (void)across, (void)scratch, (void)item;
  return (uint32)__builtin_amdgcn_permlanex16(v, v, 0x76543210u, 0xfedcba98u, false, false);
}
#endif
#if defined(__AMDGCN__) && __has_builtin(__builtin_amdgcn_exp2f) /* the instruction alone: denormals are 0 */
inline float unit_exp2(float x) { return __builtin_amdgcn_exp2f(x); }
#else
inline float unit_exp2(float x) { return native_exp2(x); }
#endif
#endif

#ifdef UNIT_BLOCKS
#ifndef UNIT_EMULATED /* declared here as in gemm_matrix_units.h */
#ifdef UNIT_DPAS16
typedef ushort unit_element;
typedef ushort8 unit_block;
#define UNIT_READ intel_sub_group_block_read_us8
#else
typedef uint32 unit_element;
typedef uint8 unit_block;
#define UNIT_READ intel_sub_group_block_read8
#endif
unit_block OVERLOAD UNIT_READ(LOCAL_PTR const unit_element *from);
uint32 OVERLOAD get_sub_group_id(void);
int32 OVERLOAD sub_group_any(int32 x);
#endif

#ifndef UNIT_EMULATED
uint8 OVERLOAD intel_sub_group_block_read8(LOCAL_PTR const uint32 *from);
#endif

/* Reads B from eight rows of words, one of each column. */
inline void unit_read_words(uint32 *b, LOCAL_PTR const uint32 *from, int lane) {
#ifdef UNIT_EMULATED
  for (int i = 0; i < B_WORDS; i++) b[i] = from[i * UN + lane];
#else
  (void)lane;
  const uint8 v = intel_sub_group_block_read8(from);
  b[0] = v.s0, b[1] = v.s1, b[2] = v.s2, b[3] = v.s3, b[4] = v.s4, b[5] = v.s5, b[6] = v.s6, b[7] = v.s7;
#endif
}

/* Reads A from its block. */
inline void unit_read_block(uint32 *a, LOCAL_PTR const uint32 *from, int lane) {
#ifdef UNIT_EMULATED
  for (int i = 0; i < A_WORDS; i++) {
    a[i] = from[A_ROW(lane, i) * 8 + A_WORD(lane, i)];
#ifdef UNIT_DPAS16 /* a lane holds one k */
    a[i] = lane % 2 ? a[i] >> 16 : a[i] & 0xffffu;
#endif
  }
#else
  (void)lane;
  const unit_block v = UNIT_READ((LOCAL_PTR const unit_element *)from);
  a[0] = v.s0, a[1] = v.s1, a[2] = v.s2, a[3] = v.s3, a[4] = v.s4, a[5] = v.s5, a[6] = v.s6, a[7] = v.s7;
#endif
}
#endif

/* A work-item's wave, and whether x holds for any of its lanes: the same for all lanes, as Intel's compiler must see.
 */
#if defined(UNIT_BLOCKS) && !defined(UNIT_EMULATED)
inline int unit_wave(int item) {
  (void)item;
  return (int)get_sub_group_id();
}
inline bool unit_any(bool x) { return sub_group_any(x) != 0; }
#else
inline int unit_wave(int item) { return item / WAVE; }
inline bool unit_any(bool x) { return x; }
#endif

/* Over the lanes of a column of C. */
inline float unit_column_max(float v, UNIT_SCRATCH scratch, int item) {
#if WAVE > UN
  for (int across = UN; across < WAVE; across *= 2)
    v = fmax(v, as_float(unit_other_word(as_uint(v), across, scratch, item)));
#else
  (void)scratch, (void)item;
#endif
  return v;
}
inline float unit_column_sum(float v, UNIT_SCRATCH scratch, int item) {
#if WAVE > UN
  for (int across = UN; across < WAVE; across *= 2) v += as_float(unit_other_word(as_uint(v), across, scratch, item));
#else
  (void)scratch, (void)item;
#endif
  return v;
}

/* As unit_pair, but ties are rounded away from zero, and a NaN must have a quiet bit and a lower half of 0, as those of
 * bfloat16 and of arithmetic on them have. For operands: it takes a third of the instructions. Intel's GPUs have a
 * conversion (cl_intel_bfloat16_conversions), which rounds as unit_pair does, and all have one to halves. */
#ifdef AB_F16
inline uint32 unit_weights(float low, float high) { return unit_pair(low, high); }
#elif defined(UNIT_BLOCKS) && !defined(UNIT_EMULATED)
ushort2 OVERLOAD intel_convert_bfloat162_as_ushort2(float2 v);
inline uint32 unit_weights(float low, float high) {
  return as_uint(intel_convert_bfloat162_as_ushort2((float2)(low, high)));
}
#else
inline uint32 unit_weights(float low, float high) {
  const uint32 a = as_uint(low) + 0x8000u, b = as_uint(high) + 0x8000u;
#ifdef __AMDGCN__ /* both upper halves by one instruction */
  return __builtin_amdgcn_perm(b, a, 0x07060302u);
#else
  return a >> 16 | (b & 0xffff0000u);
#endif
}
#endif

/* C_UNITS units of C, 16 rows, as B of the next product; `words`: each lane's own pairs of them. */
inline void unit_as_b(uint32 *b, const uint32 *words, UNIT_SCRATCH scratch, int item) {
#ifdef UNIT_WMMA /* every other row; the lane 16 apart has the rest of the column */
  const bool odd = item % WAVE / 16;
  UNROLL for (int i = 0; i < 4; i++) {
    const uint32 other = unit_other_word(words[i], 16, scratch, item);
    const uint32 low = odd ? other : words[i], high = odd ? words[i] : other;
    b[2 * i] = (low & 0xffffu) | high << 16;
    b[2 * i + 1] = low >> 16 | (high & 0xffff0000u);
  }
#else
  (void)scratch, (void)item;
  UNROLL for (int i = 0; i < B_WORDS; i++) b[i] = words[i];
#endif
}

#endif
#endif
#endif
