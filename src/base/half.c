#include "base/half.h"

#include <string.h>

#include "cl/bf16.h"

static float float_of(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static uint32_t bits_of(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

float gh_f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3FFu;
  if (exponent == 31) return float_of(sign | 0x7F800000u | mantissa << 13);
  if (exponent) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
  float magnitude = (float)mantissa * 0x1p-24f; /* a subnormal half is a normal float */
  return float_of(sign | bits_of(magnitude));
}

/* Drops the low `shift` bits, rounding to nearest even. */
static uint32_t round_shift(uint32_t value, uint32_t shift) {
  uint32_t half = 1u << (shift - 1), odd = (value >> shift) & 1u;
  return (value + half - 1 + odd) >> shift;
}

uint16_t gh_f32_to_f16(float f) {
  uint32_t bits = bits_of(f), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
  if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7C00u); /* 65536 and up */
  if (magnitude < 0x33000000u) return (uint16_t)sign;              /* below half of the smallest subnormal */
  if (magnitude < 0x38800000u) {                                   /* subnormal half: shift the full mantissa */
    uint32_t exponent = magnitude >> 23;
    return (uint16_t)(sign | round_shift((magnitude & 0x7FFFFFu) | 0x800000u, 126 - exponent));
  }
  return (uint16_t)(sign | round_shift(magnitude - 0x38000000u, 13)); /* a carry into exponent 31 is infinity */
}

float gh_bf16_to_f32(uint16_t h) { return float_of((uint32_t)h << 16); }

uint16_t gh_f32_to_bf16(float f) {
  uint32_t bits = bits_of(f);
  return (uint16_t)(BF16_IS_NAN(bits) ? BF16_OF_NAN(bits) : BF16_NEAREST(bits));
}
