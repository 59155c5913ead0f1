/* Storage types of the matrix products: A and B float32 or, with AB_BF16 or AB_F16, bfloat16 or half; C and the bias
 * likewise with C_BF16 or C_F16. Sums are always float32. AB_NARROW and C_NARROW: 16 bits. */
#ifndef GEMM_STORAGE_H
#define GEMM_STORAGE_H
#include "platform.h"

#if defined(AB_BF16) || defined(AB_F16)
#define AB_NARROW
#endif
#if defined(C_BF16) || defined(C_F16)
#define C_NARROW
#endif

/* Both narrow types are handled as their bits. One program has at most one of them. */
typedef unsigned short gemm_narrow;

/* Rounds to nearest even; NaN and infinity are preserved. */
#if defined(AB_F16) || defined(C_F16)
inline float gemm_widened(gemm_narrow v) { return f16_value(v); }
inline gemm_narrow gemm_narrowed(float v) { return (gemm_narrow)f16_bits(v); }
#else
inline float gemm_widened(gemm_narrow v) { return as_float((uint32)v << 16); }
inline gemm_narrow gemm_narrowed(float v) { return (gemm_narrow)bf16_bits(v); }
#endif

/* The lower or the upper half of a word, which holds two numbers of A or B. */
#ifdef AB_F16
inline float gemm_half(uint32 word, int odd) { return f16_value(odd ? word >> 16 : word & 0xffffu); }
#else
inline float gemm_half(uint32 word, int odd) { return as_float(odd ? word & 0xffff0000u : word << 16); }
#endif

#ifdef AB_NARROW
typedef gemm_narrow gemm_ab;
#define AB_LOAD(p, i) gemm_widened((p)[i])
#else
typedef float gemm_ab;
#define AB_LOAD(p, i) ((p)[i])
#endif

#ifdef C_NARROW
typedef gemm_narrow gemm_c;
#define C_LOAD(p, i)     gemm_widened((p)[i])
#define C_STORE(p, i, v) ((p)[i] = gemm_narrowed(v))
#else
typedef float gemm_c;
#define C_LOAD(p, i)     ((p)[i])
#define C_STORE(p, i, v) ((p)[i] = (v))
#endif

#ifdef CPU_SHAPE /* the same, sixteen at a time, from p on */
#if defined(AB_F16) || defined(C_F16)
inline float16 gemm_widened16(ushort16 v) { return f16_values(v); }
inline float8 gemm_widened8(ushort8 v) { return f16_values((ushort16)(v, v)).lo; }
inline ushort16 gemm_narrowed16(float16 v) { return f16_rounded(v); }
#else
inline float16 gemm_widened16(ushort16 v) { return as_float16(convert_uint16(v) << 16); }
inline float8 gemm_widened8(ushort8 v) { return as_float8(convert_uint8(v) << 16); }
inline ushort16 gemm_narrowed16(float16 v) {
  const uint16 u = as_uint16(v);
  return convert_ushort16(BF16_IS_NAN(u) ? BF16_OF_NAN(u) : BF16_NEAREST(u));
}
#endif
#ifdef AB_NARROW
#define AB_LOAD16(p) gemm_widened16(vload16(0, p))
#define AB_LOAD8(p)  gemm_widened8(vload8(0, p))
#else
#define AB_LOAD16(p) vload16(0, p)
#define AB_LOAD8(p)  vload8(0, p)
#endif
#ifdef C_NARROW
#define C_LOAD16(p)     gemm_widened16(vload16(0, p))
#define C_LOAD8(p)      gemm_widened8(vload8(0, p))
#define C_STORE16(p, v) (*(GLOBAL loose_ushort16 *)(p) = gemm_narrowed16(v))
#else
#define C_LOAD16(p)     vload16(0, p)
#define C_LOAD8(p)      vload8(0, p)
#define C_STORE16(p, v) vstore16(v, 0, p)
#endif
#endif

#endif
