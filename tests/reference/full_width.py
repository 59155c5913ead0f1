"""Full width: `genhance probe` against PyTorch in float64, one of the six backbones at a time.

    python tests/reference/full_width.py build/genhance FOLDER [STAGE...] [ARCH...]

Too large for a fixture: random weights are made in FOLDER/ARCH (1 to 6 GB, removed afterwards), the program runs there, and the
worst relative L2 error of each kind of tensor is printed next to that of PyTorch's own float32. One sample at the
backbone's own resolution, the vision tower and FLUX's autoencoder in their published sizes, one double and two single blocks:
3072 wide for the first backbone (14 GB of memory and some minutes on two cores), 768 for the others. The text tower takes no
part in a step; full_towers.py compares it.
"""
import pathlib
import shutil
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

import common
import make_probe
import models

VIT_L = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, image_size=224, patch_size=14,
             hidden_act="quick_gelu")
VIT_H = {**VIT_L, "hidden_size": 1280, "num_hidden_layers": 32, "intermediate_size": 5120}
SO400M = dict(hidden_size=1152, num_hidden_layers=27, num_attention_heads=16, intermediate_size=4304, image_size=224, patch_size=14)
TEXT = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=16,
            max_position_embeddings=16)
CLIP_TEXT = {**TEXT, "hidden_act": "quick_gelu", "bos_token_id": 14, "eos_token_id": 15, "pad_token_id": 0}
FULL = dict(kind="continuous", double_blocks=1, single_blocks=2, hidden=3072, heads=24, mlp_ratio=4.0, rope_axes=[16, 56, 56],
            context_width=4096, vector_width=768, guidance=4.0, weights="denoiser.safetensors")
NARROW = {**FULL, "hidden": 768, "heads": 6, "context_width": 1024}
LORA = dict(rank=16, alpha=16, dropout=0.1, bias="lora_only", targets="all-linear", adapter="adapter")
ARCHS = {  # vision, D, denoiser
    "openai-vit-l-14-224": (VIT_L, 768, FULL),
    "openai-vit-l-14-336": ({**VIT_L, "image_size": 336}, 768, NARROW),
    "metaclip-vit-l-14-224": (VIT_L, 768, NARROW),
    "metaclip-vit-h-14-224": (VIT_H, 1024, NARROW),
    "siglip-so400m-14-224": (SO400M, 1152, NARROW),
    "siglip-so400m-14-384": ({**SO400M, "image_size": 384}, 1152, NARROW),
}


def make_models(folder, arch, denoiser):
    vision, width, _ = ARCHS[arch]
    folder.mkdir(parents=True, exist_ok=True)
    if arch.startswith("siglip"):
        common.save_siglip(folder / "clip", vision, {**TEXT, "projection_size": width}, 1, torch.float32)
    else:
        common.save_clip(folder / "clip", vision, CLIP_TEXT, width, 1, torch.float32)
    common.save_denoiser(folder / "denoiser.safetensors", denoiser, width, 2, torch.float32)
    make_probe.save_adapter(folder / "adapter", folder / "clip", LORA, 4)


def make_autoencoder(path):
    ae = common.randomise(models.Autoencoder(128, (1, 2, 4, 4)), 3)
    save_file({k: v.contiguous() for k, v in ae.state_dict().items()}, path)


def distances(found, exact):
    """Worst relative L2 error of each kind of tensor, and its tensor; k_proj.bias's gradient is only rounding noise."""
    worst = {}
    for name, value in exact.items():
        if name.endswith("k_proj.bias"):
            continue
        e = ((found[name].double().reshape(value.shape) - value).norm() / value.norm()).item()
        kind = "gradients" if name.startswith("grad.") else name
        worst[kind] = max(worst.get(kind, (0, "")), (e if e == e else float("inf"), name))
    return worst


def check(binary, root, arch, stages):
    folder = root / arch
    if not (folder / "adapter").exists():
        make_models(folder, arch, ARCHS[arch][2])
    config = make_probe.run_config({"autoencoder": "../ae.safetensors", "denoiser": ARCHS[arch][2], "lora": LORA})
    common.write_json(folder / "run.json", config)
    inputs = make_probe.inputs_for(ARCHS[arch][0]["image_size"], 1, 5)
    save_file(inputs, folder / "inputs.safetensors")
    for stage in stages:
        subprocess.run([binary, "probe", "--config", "run.json", "--inputs", "inputs.safetensors", "--stage", str(stage), "--out",
                        "out.safetensors"], cwd=folder, check=True)
        exact = common.probe(config, folder, stage, inputs, torch.float64)
        ours = distances(load_file(folder / "out.safetensors"), exact)
        theirs = distances(common.probe(config, folder, stage, inputs, torch.float32), exact)
        print(f"{arch}, stage {stage}, {sum(k.startswith('grad.') for k in exact)} gradients    here, PyTorch's float32")
        for kind, (e, name) in ours.items():
            print(f"    {kind:12} {e:.2e} {theirs[kind][0]:.2e}  {name if kind == 'gradients' else ''}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    torch.set_num_threads(2)
    root = pathlib.Path(sys.argv[2])
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "ae.safetensors").exists():
        make_autoencoder(root / "ae.safetensors")
    stages = [int(a) for a in sys.argv[3:] if a.isdigit()] or [1, 2]
    for arch in [a for a in sys.argv[3:] if not a.isdigit()] or ARCHS:
        check(str(pathlib.Path(sys.argv[1]).resolve()), root, arch, stages)
