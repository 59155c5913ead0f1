"""Full width: `genhance probe` against PyTorch in float64, one of the six backbones at a time.

    python tests/reference/full_width.py build/genhance FOLDER [STAGE...] [ARCH...] [--denoiser discrete]

Too large for a fixture: random weights are made in FOLDER/ARCH (1 to 6 GB, removed afterwards), the program runs there, and the
worst relative L2 error of each kind of tensor is printed next to that of PyTorch's own float32. One sample at the
backbone's own resolution. The vision tower and FLUX's autoencoder, or the VQ-GAN with 16384 codes, have their published sizes. The
continuous denoiser has one double and two single blocks: 3072 wide for the first backbone (14 GB of memory and some minutes on
two cores), 768 for the others. The discrete one has its published six layers, 1024 wide; half of the positions are masked.
The text tower takes no part in a step; full_towers.py compares it.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

import common
import make_probe
import make_vqgan
import models
import vqgan

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
DISCRETE = dict(kind="discrete", layers=6, hidden=1024, heads=16, weights="denoiser.safetensors")
CODES = 16384
LORA = dict(rank=16, alpha=16, dropout=0.1, bias="lora_only", targets="all-linear", adapter="adapter")
ARCHS = {  # vision, D, denoiser
    "openai-vit-l-14-224": (VIT_L, 768, FULL),
    "openai-vit-l-14-336": ({**VIT_L, "image_size": 336}, 768, NARROW),
    "metaclip-vit-l-14-224": (VIT_L, 768, NARROW),
    "metaclip-vit-h-14-224": (VIT_H, 1024, NARROW),
    "siglip-so400m-14-224": (SO400M, 1152, NARROW),
    "siglip-so400m-14-384": ({**SO400M, "image_size": 384}, 1152, NARROW),
}


def denoiser_of(arch, kind):
    return ARCHS[arch][2] if kind == "continuous" else DISCRETE


def make_models(folder, arch, denoiser):
    vision, width, _ = ARCHS[arch]
    folder.mkdir(parents=True, exist_ok=True)
    if arch.startswith("siglip"):
        common.save_siglip(folder / "clip", vision, {**TEXT, "projection_size": width}, 1, torch.float32)
    else:
        common.save_clip(folder / "clip", vision, CLIP_TEXT, width, 1, torch.float32)
    if denoiser["kind"] == "continuous":
        common.save_denoiser(folder / "denoiser.safetensors", denoiser, width, 2, torch.float32)
    else:
        sizes = (make_vqgan.PUBLISHED["width"], (vision["image_size"] // 16) ** 2, CODES)
        common.save_perceiver(folder / "denoiser.safetensors", denoiser, width, sizes, 2, torch.float32)
    make_probe.save_adapter(folder / "adapter", folder / "clip", LORA, 4)


@torch.no_grad()
def make_autoencoder(path, kind):
    if kind == "continuous":
        ae = common.randomise(models.Autoencoder(128, (1, 2, 4, 4)), 3)
    else:
        ae = common.randomise(vqgan.VQGAN(**make_vqgan.PUBLISHED, codes=CODES), 3)
        make_vqgan.fill_codebook(ae, 2 * common.pictures(2, 224, 62) - 1, 63)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in ae.state_dict().items()}, path)


def write_case(folder, arch, kind, samples):
    """Models, configuration and inputs of one backbone in its folder -> configuration, inputs."""
    denoiser, size = denoiser_of(arch, kind), ARCHS[arch][0]["image_size"]
    if not (folder / "adapter").exists():
        make_models(folder, arch, denoiser)
    config = make_probe.run_config({"autoencoder": f"../{kind}.safetensors", "denoiser": denoiser, "lora": LORA})
    common.write_json(folder / "run.json", config)
    if kind == "continuous":
        inputs = make_probe.inputs_for(size, samples, 5)
    else:
        positions = (size // 16) ** 2
        inputs = {"images": common.pictures(samples, size, 6),
                  "mask": make_probe.mask_of([positions // 2] * samples, positions, 7)}
    save_file(inputs, folder / "inputs.safetensors")
    return config, inputs


def distances(found, exact):
    """Worst relative L2 error of each kind of tensor, and its tensor; a key bias's gradient is only rounding noise."""
    worst = {}
    for name, value in exact.items():
        if name.endswith(common.KEY_BIASES):
            continue
        e = ((found[name].double().reshape(value.shape) - value).norm() / value.norm()).item()
        kind = "gradients" if name.startswith("grad.") else name
        worst[kind] = max(worst.get(kind, (0, "")), (e if e == e else float("inf"), name))
    return worst


def check(binary, root, arch, stages, kind):
    folder = root / arch
    config, inputs = write_case(folder, arch, kind, 1)
    for stage in stages:
        subprocess.run([binary, "probe", "--config", "run.json", "--inputs", "inputs.safetensors", "--stage", str(stage), "--out",
                        "out.safetensors"], cwd=folder, check=True)
        exact = common.probe(config, folder, stage, inputs, torch.float64)
        found, rough = load_file(folder / "out.safetensors"), common.probe(config, folder, stage, inputs, torch.float32)
        for result in (found, exact, rough):  # whole numbers: compared one by one, not by their distance
            result.pop("mask", None)
        if kind == "discrete":
            codes = exact.pop("codes")
            unlike = (found.pop("codes") != codes).sum(), (rough.pop("codes") != codes).sum()
            print(f"{arch}, stage {stage}: codes unlike, of {codes.numel()}: {unlike[0]} here, {unlike[1]} PyTorch's float32")
        ours, theirs = distances(found, exact), distances(rough, exact)
        print(f"{arch}, stage {stage}, {sum(k.startswith('grad.') for k in exact)} gradients    here, PyTorch's float32")
        for name, (e, tensor) in ours.items():
            print(f"    {name:12} {e:.2e} {theirs[name][0]:.2e}  {tensor if name == 'gradients' else ''}", flush=True)
    shutil.rmtree(folder)


def arguments(text):
    """Of this file and of mixed_full_width.py -> binary, folder, stages, backbones, kind of denoiser."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=lambda name: str(pathlib.Path(name).resolve()))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("chosen", nargs="*", choices=["1", "2", *ARCHS, []], metavar="STAGE or ARCH")
    parser.add_argument("--denoiser", choices=("continuous", "discrete"), default="continuous")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    stages = [int(a) for a in args.chosen if a.isdigit()] or [1, 2]
    return args.binary, args.folder, stages, [a for a in args.chosen if not a.isdigit()] or list(ARCHS), args.denoiser


def each_backbone(text, compare):
    binary, root, stages, archs, kind = arguments(text)
    torch.set_num_threads(2)
    if not (root / f"{kind}.safetensors").exists():
        make_autoencoder(root / f"{kind}.safetensors", kind)
    for arch in archs:
        compare(binary, root, arch, stages, kind)


if __name__ == "__main__":
    each_backbone(__doc__, check)
