"""Makes tests/fixtures/safetensors/mixed.safetensors with the official package, every dtype the reader converts, and
float8/values.safetensors, all weights of 8 bits with scales of three kinds, and torch's values of them."""

import pathlib

import torch
from safetensors.torch import save_file

out = pathlib.Path(__file__).parent.parent / "fixtures" / "safetensors"
out.mkdir(parents=True, exist_ok=True)
values = torch.tensor([[0.0, 1.0, -2.5], [0.3333333333333333, 65504.0, -6.103515625e-05]], dtype=torch.float64)
tensors = {
    "f64": values,
    "f32": values.float(),
    "f16": values.half(),
    "bf16": values.bfloat16(),
    "i64": torch.tensor([-1, 0, 2**40]),
    "i32": torch.tensor([-7, 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([-300, 300], dtype=torch.int16),
    "u8": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(4.5),
    "empty": torch.zeros(0, 4),
}
save_file(tensors, out / "mixed.safetensors", metadata={"note": "caf\u00e9 \"quoted\""})

every = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
narrow = {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn), "e4m3.input_scale": torch.tensor(0.5)}
kinds = {"e4m3": (torch.float8_e4m3fn, ".weight_scale", 0.0371), "e5m2": (torch.float8_e5m2, ".scale_weight", 3.25),
         "e4m3.plain": (torch.float8_e4m3fn, None, 1.0)}
for name, (dtype, scale_name, scale) in kinds.items():
    weight = every.view(dtype)
    narrow[name + ".weight"] = weight
    if scale_name:
        narrow[name + scale_name] = torch.tensor(scale)
    narrow["want." + name] = weight.float() * torch.tensor(scale)
# Scales per row (compressed-tensors), per block (transformers' weight_scale_inv), per block of a row (musubi-tuner), and
# blocks of 128 with smaller ones at the ends.
g = torch.Generator().manual_seed(5)
finite = every.clone()
finite[(every & 127) > 126] = 7
sheet = finite.repeat(9, 13)[:131, :201].contiguous()


def spread(scales, rows, columns, shape):
    return scales.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[: shape[0], : shape[1]]


grids = {"rows": (finite, ".weight_scale", (16, 1), (1, 16)), "blocks": (finite, ".weight_scale_inv", (2, 4), (8, 4)),
         "groups": (finite, ".scale_weight", (16, 2, 1), (1, 8)), "ends": (sheet, ".weight_scale_inv", (2, 2), (128, 128)),
         "flat": (finite, ".weight_scale", (16,), (1, 16))}
for name, (bytes_of, scale_name, shape, block) in grids.items():
    scales = torch.rand(shape, generator=g) * 3
    scales.view(-1)[1] = 0
    weight = bytes_of.view(torch.float8_e4m3fn)
    narrow[name + ".weight"], narrow[name + scale_name] = weight, scales.bfloat16() if name == "groups" else scales
    two = narrow[name + scale_name].float().reshape(shape[0], -1)
    narrow["want." + name] = weight.float() * spread(two, *block, weight.shape)
narrow["rows.comfy_quant"] = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
save_file({k: v.clone() for k, v in narrow.items()}, out.parent / "float8" / "values.safetensors")
