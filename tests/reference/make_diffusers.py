#!/usr/bin/env python3
"""Makes tests/fixtures/diffusers/: FLUX's name of each tensor of the tiny autoencoder (probe/tiny/ae.safetensors) with the
name and rank in diffusers' own AutoencoderKL, by its own conversion; and that model's config.json. Needs diffusers and
torch; checks that both models, diffusers' with the converted weights, give the same latents.
"""
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
OUT = FIXTURES / "diffusers"
OUT.mkdir(exist_ok=True)
flux = load_file(FIXTURES / "probe" / "tiny" / "ae.safetensors")
levels = sum(f"encoder.down.{i}.block.0.conv1.weight" in flux for i in range(8))
widths = [flux[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
blocks = sum(f"encoder.down.0.block.{i}.conv1.weight" in flux for i in range(8))
model = AutoencoderKL(
    block_out_channels=widths, layers_per_block=blocks, latent_channels=flux["decoder.conv_in.weight"].shape[1],
    down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
    scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
)
# The conversion moves values: numbers that are different in every tensor tell which went where.
marked = {name: torch.full_like(value, float(k)) for k, (name, value) in enumerate(sorted(flux.items()))}
converted = convert_ldm_vae_checkpoint(marked, model.config)
wanted = model.state_dict()
assert set(converted) == set(wanted), set(converted) ^ set(wanted)
names = sorted(flux)
table = {names[int(v.flatten()[0])]: {"name": k, "rank": wanted[k].dim()} for k, v in converted.items()}
assert len(table) == len(flux)
(OUT / "names.json").write_text("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(table[k])}" for k in names) + "\n}\n")
config = {k: v for k, v in dict(model.config).items() if not k.startswith("_")} | {"_class_name": "AutoencoderKL"}
(OUT / "config.json").write_text(json.dumps(config, indent=1) + "\n")
print(len(table), "tensors")
