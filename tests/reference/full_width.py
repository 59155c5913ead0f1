"""Full width: `genhance probe` against PyTorch in float64 on ViT-L/14 at 224, FLUX's autoencoder and a denoiser of 3072;
or on SigLIP SO400M/14 at 224 with a denoiser of 768.

    python tests/reference/full_width.py build/genhance FOLDER [STAGE [siglip]]

Too large for a fixture: weights are made in FOLDER (about 5 GB), the program is run there, and the worst relative L2 error
of each kind of tensor is printed. One sample, one double and two single blocks: 14 GB and some minutes on two cores.
"""
import pathlib
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

import common
import make_probe
import models

SETTING = {
    "vision": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, image_size=224,
                   patch_size=14, hidden_act="quick_gelu"),
    "text": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=16,
                 max_position_embeddings=16, hidden_act="quick_gelu", bos_token_id=14, eos_token_id=15, pad_token_id=0),
    "projection": 768,
    "denoiser": dict(kind="continuous", double_blocks=1, single_blocks=2, hidden=3072, heads=24, mlp_ratio=4.0,
                     rope_axes=[16, 56, 56], context_width=4096, vector_width=768, guidance=4.0,
                     weights="denoiser.safetensors"),
    "lora": dict(rank=16, alpha=16, dropout=0.1, bias="lora_only", targets="all-linear", adapter="adapter"),
    "autoencoder": "ae.safetensors",
}
SIGLIP = {
    **SETTING,
    "family": "siglip",
    "vision": dict(hidden_size=1152, num_hidden_layers=27, num_attention_heads=16, intermediate_size=4304, image_size=224,
                   patch_size=14),
    "text": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=16,
                 max_position_embeddings=16, projection_size=1152),
    "projection": 1152,
    "denoiser": {**SETTING["denoiser"], "hidden": 768, "heads": 6, "context_width": 1024},
}


def make_models(folder):
    if "family" in SETTING:
        common.save_siglip(folder / "clip", SETTING["vision"], SETTING["text"], 1, torch.float32)
    else:
        common.save_clip(folder / "clip", SETTING["vision"], SETTING["text"], SETTING["projection"], 1, torch.float32)
    common.save_denoiser(folder / "denoiser.safetensors", SETTING["denoiser"], SETTING["projection"], 2, torch.float32)
    ae = common.randomise(models.Autoencoder(128, (1, 2, 4, 4)), 3)
    save_file({k: v.contiguous() for k, v in ae.state_dict().items()}, folder / "ae.safetensors")
    make_probe.save_adapter(folder / "adapter", folder / "clip", SETTING["lora"], 4)


def compare(ours, exact):
    """Worst relative L2 error of each kind of tensor; k_proj.bias has no gradient but rounding."""
    worst = {}
    for name, value in exact.items():
        if name.endswith("k_proj.bias"):
            continue
        e = ((ours[name].double().reshape(value.shape) - value).norm() / value.norm()).item()
        kind = "gradients" if name.startswith("grad.") else name
        worst[kind] = max(worst.get(kind, (0, "")), (e, name))
    for kind, (e, name) in worst.items():
        print(f"{kind:12} {e:.2e}  {name if kind == 'gradients' else ''}", flush=True)


def main(binary, folder, stage):
    torch.set_num_threads(2)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "adapter").exists():
        make_models(folder)
    config = make_probe.run_config(SETTING)
    common.write_json(folder / "run.json", config)
    inputs = make_probe.inputs_for(224, 1, 5)
    save_file(inputs, folder / "inputs.safetensors")
    subprocess.run([binary, "probe", "--config", "run.json", "--inputs", "inputs.safetensors", "--stage", str(stage), "--out",
                    "out.safetensors"], cwd=folder, check=True)
    compare(load_file(folder / "out.safetensors"), common.probe(config, folder, stage, inputs, torch.float64))


if __name__ == "__main__":
    if "siglip" in sys.argv[4:]:
        SETTING = SIGLIP
    main(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
