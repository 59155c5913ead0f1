/* Weights of 8 bits in safetensors files: the two formats, and the scales that belong to them. */
#ifndef GH_IO_FLOAT8_H
#define GH_IO_FLOAT8_H

#include "io/safetensors.h"

/* OCP's formats as torch has them: E4M3 without infinities (torch.float8_e4m3fn), E5M2 as IEEE 754. Both are exact. */
float gh_f8_e4m3_to_f32(uint8_t byte);
float gh_f8_e5m2_to_f32(uint8_t byte);

/* Finds the scales of every 8-bit tensor among `count` tensors sorted by name, and sets its `scale` or `scales`; marks
 * the scales as `applied`, and what only says how a file was made (ComfyUI's "scaled_fp8" and "comfy_quant", scales of
 * activations). Scales are numbers by which values are multiplied: "NAME_scale", "NAME_scale_inv" (which is no
 * inverse), or ComfyUI's "scale_weight" beside "weight". One for the tensor, one per row, (N) or (N, 1), or one per
 * block, (R, C) or (R, C, 1): blocks of equal sizes, or of 128 x 128 with smaller ones at the ends.
 * GH_ERROR_UNSUPPORTED: other shapes, a size of blocks that the shapes leave open, another format in comfy_quant;
 * GH_ERROR_FORMAT: not positive numbers (0 only for a row or block), or two sets of them. */
gh_status gh_float8_scale(gh_error *err, gh_st_tensor *tensors, size_t count);

#endif
