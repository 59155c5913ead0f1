/* Rounding to bfloat16, by integer operations on the bits of float32: for the host, and for kernels, one number or a
 * vector of them. To nearest, ties to even; a NaN stays one, and quiet. */
#ifndef GH_BF16_H
#define GH_BF16_H

#define BF16_IS_NAN(bits)  (((bits)&0x7fffffffu) > 0x7f800000u)
#define BF16_OF_NAN(bits)  ((bits) >> 16 | 0x40u)
#define BF16_NEAREST(bits) (((bits) + 0x7fffu + ((bits) >> 16 & 1u)) >> 16) /* of all others */

#endif
