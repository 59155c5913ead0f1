/* Conversions between float32 and the two 16-bit formats, by integer operations; rounding is to nearest even. */
#ifndef GH_BASE_HALF_H
#define GH_BASE_HALF_H

#include <stdint.h>

float gh_f16_to_f32(uint16_t h);
uint16_t gh_f32_to_f16(float f); /* values beyond 65504 round to infinity per IEEE 754; NaN stays NaN */
float gh_bf16_to_f32(uint16_t h);
uint16_t gh_f32_to_bf16(float f);

#endif
