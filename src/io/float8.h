/* Weights of 8 bits in safetensors files: the two formats, and the scales that belong to them. */
#ifndef GH_IO_FLOAT8_H
#define GH_IO_FLOAT8_H

#include "io/safetensors.h"

/* OCP's formats as torch has them: E4M3 without infinities (torch.float8_e4m3fn), E5M2 as IEEE 754. Both are exact. */
float gh_f8_e4m3_to_f32(uint8_t byte);
float gh_f8_e5m2_to_f32(uint8_t byte);

/* Finds the scale of every 8-bit tensor among `count` tensors sorted by name, and sets its `scale`; marks the scales as
 * `applied`, and what only says how a file was made (ComfyUI's "scaled_fp8", scales of activations). A scale is one
 * number, by which values are multiplied: "NAME_scale", "NAME_scale_inv" (which is no inverse), or ComfyUI's
 * "scale_weight" beside "weight". GH_ERROR_UNSUPPORTED: a scale per row or block; GH_ERROR_FORMAT: not a positive
 * number, or two of them. */
gh_status gh_float8_scale(gh_error *err, gh_st_tensor *tensors, size_t count);

#endif
