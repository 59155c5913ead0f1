/* Conversion between float32 and half precision (IEEE 754 binary16), on the bits and by float32 arithmetic that has
 * neither subnormal operands nor results, one number or a vector of them. To nearest, ties to even; subnormal halves
 * are exact; what is too large becomes infinity; a NaN stays one, and quiet.
 *
 * Kernels use the device's own instructions where every device of its kind has them: see f16_value of platform.h. */
#ifndef GH_F16_H
#define GH_F16_H

#define F16_MAGNITUDE(bits) ((bits)&0x7fffffffu)
#define F16_SIGN(bits)      ((bits) >> 16 & 0x8000u)
#define F16_IS_NAN(bits)    (F16_MAGNITUDE(bits) > 0x7f800000u)
#define F16_OF_NAN(bits)    (F16_SIGN(bits) | 0x7e00u | ((bits) >> 13 & 0x1ffu))
#define F16_IS_HUGE(bits)   (F16_MAGNITUDE(bits) > 0x477fefffu) /* from 65520 on */
#define F16_OF_HUGE(bits)   (F16_SIGN(bits) | 0x7c00u)
#define F16_IS_SMALL(bits)  (F16_MAGNITUDE(bits) < 0x38800000u) /* below 2^-14, the smallest normal half */
/* Added to 1/2, whose last place is 2^-24, a small magnitude is rounded to a multiple of that. `sum` has its bits. */
#define F16_OF_SMALL(bits, sum) (F16_SIGN(bits) | ((sum)-0x3f000000u))
#define F16_NEAREST(bits)                                                                                              \
  (F16_SIGN(bits) | ((F16_MAGNITUDE(bits) + 0xfffu + ((bits) >> 13 & 1u) - 0x38000000u) >> 13)) /* of all others */

/* Back: the bits of the float32, from those of a half in the lower 16. A small one is `difference`, with its sign: what
 * F16_GUESS holds, minus 2^-14. */
#define F16_TOP(half)          (((half)&0x8000u) << 16)
#define F16_IS_SUBNORMAL(half) (((half)&0x7c00u) == 0u)
#define F16_IS_SPECIAL(half)   (((half)&0x7c00u) == 0x7c00u) /* infinity or NaN */
#define F16_GUESS(half)        (((half)&0x7fffu) << 13 | 0x38800000u)
#define F16_WIDE(half)         (F16_TOP(half) | ((((half)&0x7fffu) << 13) + 0x38000000u))
#define F16_SPECIAL(half)      (F16_TOP(half) | ((half)&0x3ffu) << 13 | 0x7f800000u)

#endif
