/* Matrix units of GPUs: which lane of a wave holds which elements of A (UM x 16), B (16 x UN) and C (UM x UN), and the
 * instruction. A "word" is a pair of narrow numbers adjacent along k, the lower k in the lower half: bfloat16 or, with
 * AB_F16, half, by the instruction's twin of the same layout. A define selects the unit:
 *
 *   UNIT_MMA      NVIDIA sm_80 on: mma.sync.m16n8k16 by inline PTX (PTX ISA, "Matrix Fragments for mma.m16n8k16")
 *   UNIT_MFMA     AMD gfx90a, gfx94x: v_mfma_f32_16x16x16_bf16_1k (CDNA 2 ISA; AMD's matrix instruction calculator)
 *   UNIT_WMMA     AMD gfx11: v_wmma_f32_16x16x16_bf16 of 32 lanes (RDNA 3 ISA); both halves of a wave hold A and B
 *   UNIT_DPAS16   Intel PVC: cl_intel_subgroup_matrix_multiply_accumulate, sub-groups of 16
 *   UNIT_DPAS8    Intel DG2: the same, sub-groups of 8
 *
 * With UNIT_EMULATED in addition, the lanes exchange their fragments through local memory, and every lane computes its
 * part of C from the documented layout, written a second time in the inverse direction (from an element to its lane).
 * So the tests run the kernel's own index arithmetic without such a device. */
#ifndef GEMM_MATRIX_UNITS_H
#define GEMM_MATRIX_UNITS_H
#include "gemm_storage.h"

/* WAVE lanes; words of A and B and floats of C per lane; for word i (float r) of a lane, its place in the unit's
 * tile: A_ROW, A_WORD, B_COLUMN, B_WORD, C_ROW, C_COLUMN. */
#if defined(UNIT_MMA)
#define WAVE              32
#define UM                16
#define UN                8
#define A_WORDS           4
#define B_WORDS           2
#define C_FLOATS          4
#define A_ROW(lane, i)    ((lane) / 4 + (i) % 2 * 8)
#define A_WORD(lane, i)   ((lane) % 4 + (i) / 2 * 4)
#define B_COLUMN(lane, i) ((lane) / 4)
#define B_WORD(lane, i)   ((lane) % 4 + (i)*4)
#define C_ROW(lane, r)    ((lane) / 4 + (r) / 2 * 8)
#define C_COLUMN(lane, r) ((lane) % 4 * 2 + (r) % 2)
#elif defined(UNIT_MFMA)
#define WAVE              64
#define UM                16
#define UN                16
#define A_WORDS           2
#define B_WORDS           2
#define C_FLOATS          4
#define A_ROW(lane, i)    ((lane) % 16)
#define A_WORD(lane, i)   ((lane) / 16 * 2 + (i))
#define B_COLUMN(lane, i) ((lane) % 16)
#define B_WORD(lane, i)   ((lane) / 16 * 2 + (i))
#define C_ROW(lane, r)    ((lane) / 16 * 4 + (r))
#define C_COLUMN(lane, r) ((lane) % 16)
#elif defined(UNIT_WMMA)
#define WAVE              32
#define UM                16
#define UN                16
#define A_WORDS           8
#define B_WORDS           8
#define C_FLOATS          8
#define A_ROW(lane, i)    ((lane) % 16)
#define A_WORD(lane, i)   (i)
#define B_COLUMN(lane, i) ((lane) % 16)
#define B_WORD(lane, i)   (i)
#define C_ROW(lane, r)    ((r)*2 + (lane) / 16)
#define C_COLUMN(lane, r) ((lane) % 16)
#elif defined(UNIT_DPAS16) || defined(UNIT_DPAS8)
#define UM       8
#define A_WORDS  8
#define B_WORDS  8
#define C_FLOATS 8
#ifdef UNIT_DPAS16 /* a lane holds one k of A: the kernel loads a word and keeps one half */
#define WAVE            16
#define UN              16
#define A_WORD(lane, i) ((lane) / 2)
#else
#define WAVE            8
#define UN              8
#define A_WORD(lane, i) (lane)
#endif
#define A_ROW(lane, i)    (i)
#define B_COLUMN(lane, i) (lane)
#define B_WORD(lane, i)   (i)
#define C_ROW(lane, r)    (r)
#define C_COLUMN(lane, r) (lane)
#endif

#ifdef WAVE /* every program includes this header, even without a unit */

/* The attribute of a kernel whose waves have WAVE lanes, where a compiler must be told. */
#if defined(UNIT_DPAS16) && !defined(UNIT_EMULATED)
#define UNIT_SUB_GROUP __attribute__((intel_reqd_sub_group_size(16)))
#elif defined(UNIT_DPAS8) && !defined(UNIT_EMULATED)
#define UNIT_SUB_GROUP __attribute__((intel_reqd_sub_group_size(8)))
#else
#define UNIT_SUB_GROUP
#endif

#ifdef UNIT_EMULATED

/* The documented places of A[row][k], B[k][column] and C[row][column]. */
#if defined(UNIT_MMA)
#define A_LANE(row, k)   ((row) % 8 * 4 + (k) % 8 / 2)
#define A_REG(row, k)    ((row) / 8 + (k) / 8 * 2)
#define B_LANE(k, col)   ((col)*4 + (k) % 8 / 2)
#define B_REG(k, col)    ((k) / 8)
#define C_LANE(row, col) ((row) % 8 * 4 + (col) / 2)
#define C_REG(row, col)  ((row) / 8 * 2 + (col) % 2)
#elif defined(UNIT_MFMA)
#define A_LANE(row, k)   ((row) + (k) / 4 * 16)
#define A_REG(row, k)    ((k) % 4 / 2)
#define B_LANE(k, col)   ((col) + (k) / 4 * 16)
#define B_REG(k, col)    ((k) % 4 / 2)
#define C_LANE(row, col) ((col) + (row) / 4 * 16)
#define C_REG(row, col)  ((row) % 4)
#elif defined(UNIT_WMMA)
#define A_LANE(row, k)   ((row) + (k) % 2 * 16) /* either half of the wave: both are checked */
#define A_REG(row, k)    ((k) / 2)
#define B_LANE(k, col)   ((col) + (k) % 2 * 16)
#define B_REG(k, col)    ((k) / 2)
#define C_LANE(row, col) ((col) + (row) % 2 * 16)
#define C_REG(row, col)  ((row) / 2)
#else
#ifdef UNIT_DPAS16
#define A_LANE(row, k) (k)
#else
#define A_LANE(row, k) ((k) / 2)
#endif
#define A_REG(row, k)    (row)
#define B_LANE(k, col)   (col)
#define B_REG(k, col)    ((k) / 2)
#define C_LANE(row, col) (col)
#define C_REG(row, col)  (row)
#endif

#ifndef UNIT_ITEMS /* work-items per group */
#define UNIT_ITEMS 256
#endif
#define EXCHANGE_WORDS (UNIT_ITEMS * (A_WORDS + B_WORDS))
#define UNIT_DECLARE   LOCAL uint32 exchange[EXCHANGE_WORDS];
#define UNIT_PLACE     exchange
#define UNIT_SCRATCH   LOCAL_PTR uint32 *

/* Every lane of the group must call this. */
inline void unit_multiply(float *c, const uint32 *a, const uint32 *b, UNIT_SCRATCH exchange, int item) {
  const int wave = item / WAVE * WAVE, lane = item % WAVE;
  LOCAL_PTR uint32 *as = exchange, *bs = exchange + UNIT_ITEMS * A_WORDS;
  BARRIER();
  for (int i = 0; i < A_WORDS; i++) as[item * A_WORDS + i] = a[i];
  for (int i = 0; i < B_WORDS; i++) bs[item * B_WORDS + i] = b[i];
  BARRIER();
  for (int row = 0; row < UM; row++)
    for (int col = 0; col < UN; col++) {
      if (C_LANE(row, col) != lane) continue;
      float sum = 0.0f;
      for (int k = 0; k < 16; k++) {
        const uint32 x = as[(wave + A_LANE(row, k)) * A_WORDS + A_REG(row, k)];
        const uint32 y = bs[(wave + B_LANE(k, col)) * B_WORDS + B_REG(k, col)];
#ifdef UNIT_DPAS16
        sum = fma(gemm_half(x, 0), gemm_half(y, k % 2), sum);
#else
        sum = fma(gemm_half(x, k % 2), gemm_half(y, k % 2), sum);
#endif
      }
      c[C_REG(row, col)] += sum;
    }
}

#else
#define UNIT_DECLARE
#define UNIT_PLACE   0
#define UNIT_SCRATCH int

#if defined(UNIT_MMA)
#ifdef AB_F16
#define UNIT_TYPES "f16.f16"
#else
#define UNIT_TYPES "bf16.bf16"
#endif
inline void unit_multiply(float *c, const uint32 *a, const uint32 *b, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." UNIT_TYPES
               ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#elif defined(UNIT_MFMA)
#ifdef AB_F16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define UNIT_INTRINSIC  __builtin_amdgcn_mfma_f32_16x16x16f16
#define UNIT_NUMBERS(v) as_half4(v)
#else
#define UNIT_INTRINSIC  __builtin_amdgcn_mfma_f32_16x16x16bf16_1k
#define UNIT_NUMBERS(v) as_short4(v)
#endif
inline void unit_multiply(float *c, const uint32 *a, const uint32 *b, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  const float4 sum = UNIT_INTRINSIC(UNIT_NUMBERS((uint2)(a[0], a[1])), UNIT_NUMBERS((uint2)(b[0], b[1])),
                                    (float4)(c[0], c[1], c[2], c[3]), 0, 0, 0);
  c[0] = sum.x;
  c[1] = sum.y;
  c[2] = sum.z;
  c[3] = sum.w;
}
#elif defined(UNIT_WMMA)
#ifdef AB_F16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define UNIT_INTRINSIC  __builtin_amdgcn_wmma_f32_16x16x16_f16_w32
#define UNIT_NUMBERS(v) as_half16(v)
#else
#define UNIT_INTRINSIC  __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32
#define UNIT_NUMBERS(v) as_short16(v)
#endif
inline void unit_multiply(float *c, const uint32 *a, const uint32 *b, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  const uint8 x = (uint8)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  const uint8 y = (uint8)(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
  const float8 before = (float8)(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
  vstore8(UNIT_INTRINSIC(UNIT_NUMBERS(x), UNIT_NUMBERS(y), before), 0, c);
}
#else
/* Declared here: Intel's compiler has both but exposes them only in dialects newer than OpenCL C 1.2. */
#ifdef UNIT_DPAS16
typedef short8 unit_a;
#else
typedef int8 unit_a;
#endif
#ifdef AB_F16
#define UNIT_INTRINSIC intel_sub_group_f16_f16_matrix_mad_k16
#else
#define UNIT_INTRINSIC intel_sub_group_bf16_bf16_matrix_mad_k16
#endif
float8 OVERLOAD UNIT_INTRINSIC(unit_a a, int8 b, float8 sum);

inline void unit_multiply(float *c, const uint32 *a, const uint32 *b, UNIT_SCRATCH scratch, int item) {
  (void)scratch, (void)item;
  const int8 y = (int8)(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
  const float8 before = (float8)(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
  const unit_a x = (unit_a)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  vstore8(UNIT_INTRINSIC(x, y, before), 0, c);
}
#endif
#endif
#endif

#endif
