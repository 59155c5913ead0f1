/* Storage types of the matrix products: A and B float32 or, with AB_BF16, bfloat16; C and the bias float32 or, with
 * C_BF16, bfloat16. Sums are always float32. Uses integer operations only, which every compiler has. */
#ifndef GEMM_STORAGE_H
#define GEMM_STORAGE_H
#include "platform.h"

typedef unsigned short gemm_bf16;

inline float gemm_widen(gemm_bf16 v) { return as_float((uint32)v << 16); }
/* Rounds to nearest even; NaN and infinity are preserved. */
inline gemm_bf16 gemm_narrow(float v) {
  const uint32 u = as_uint(v);
  return (gemm_bf16)(BF16_IS_NAN(u) ? BF16_OF_NAN(u) : BF16_NEAREST(u));
}

#ifdef AB_BF16
typedef gemm_bf16 gemm_ab;
#define AB_LOAD(p, i) gemm_widen((p)[i])
#else
typedef float gemm_ab;
#define AB_LOAD(p, i) ((p)[i])
#endif

#ifdef C_BF16
typedef gemm_bf16 gemm_c;
#define C_LOAD(p, i)     gemm_widen((p)[i])
#define C_STORE(p, i, v) ((p)[i] = gemm_narrow(v))
#else
typedef float gemm_c;
#define C_LOAD(p, i)     ((p)[i])
#define C_STORE(p, i, v) ((p)[i] = (v))
#endif

#ifdef CPU_SHAPE /* the same, sixteen at a time, from p on */
/* PoCL's vstore16 of this type works element by element. */
typedef ushort16 loose_ushort16 __attribute__((aligned(2)));
inline float16 gemm_widen16(ushort16 v) { return as_float16(convert_uint16(v) << 16); }
inline ushort16 gemm_narrow16(float16 v) {
  const uint16 u = as_uint16(v);
  return convert_ushort16(BF16_IS_NAN(u) ? BF16_OF_NAN(u) : BF16_NEAREST(u));
}
#ifdef AB_BF16
#define AB_LOAD16(p) gemm_widen16(vload16(0, p))
#define AB_LOAD8(p)  as_float8(convert_uint8(vload8(0, p)) << 16)
#else
#define AB_LOAD16(p) vload16(0, p)
#define AB_LOAD8(p)  vload8(0, p)
#endif
#ifdef C_BF16
#define C_LOAD16(p)     gemm_widen16(vload16(0, p))
#define C_LOAD8(p)      as_float8(convert_uint8(vload8(0, p)) << 16)
#define C_STORE16(p, v) (*(GLOBAL loose_ushort16 *)(p) = gemm_narrow16(v))
#else
#define C_LOAD16(p)     vload16(0, p)
#define C_LOAD8(p)      vload8(0, p)
#define C_STORE16(p, v) vstore16(v, 0, p)
#endif
#endif

#endif
