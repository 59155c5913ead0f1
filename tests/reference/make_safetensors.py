"""Makes tests/fixtures/safetensors/mixed.safetensors with the official package: every dtype the reader converts."""

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
