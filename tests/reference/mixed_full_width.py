"""Full width: the gradients of `genhance probe` with precision bf16 compared with its own float32 ones.

    python tests/reference/mixed_full_width.py build/genhance FOLDER [STAGE...] [ARCH...]

The models are full_width.py's: random weights, adapters as large as the weights they adapt. Four samples. Prints the
smallest cosine, the worst norm, and how many tensors exceed 0.999 and 2 %; k_proj.bias's gradient is only rounding
noise.
"""
import pathlib
import shutil
import subprocess
import sys

from safetensors.torch import load_file, save_file

import common
import full_width
import make_probe

SAMPLES = 4


def gradients(binary, folder, stage, precision):
    subprocess.run([binary, "probe", "--config", "run.json", "--inputs", "inputs.safetensors", "--stage", str(stage), "--out",
                    "out.safetensors", "--set", f"precision={precision}"], cwd=folder, check=True)
    found = load_file(folder / "out.safetensors")
    return {k: v.double() for k, v in found.items() if k.startswith("grad.") and not k.endswith("k_proj.bias")}


def compare(binary, root, arch, stages):
    folder = root / arch
    vision, _, denoiser = full_width.ARCHS[arch]
    if not (folder / "adapter").exists():
        full_width.make_models(folder, arch, denoiser)
    config = make_probe.run_config({"autoencoder": "../ae.safetensors", "denoiser": denoiser, "lora": full_width.LORA})
    common.write_json(folder / "run.json", config)
    save_file(make_probe.inputs_for(vision["image_size"], SAMPLES, 5), folder / "inputs.safetensors")
    for stage in stages:
        exact, found = (gradients(binary, folder, stage, p) for p in ("float32", "bf16"))
        rows = []
        for name, a in exact.items():
            b = found[name]
            rows.append(((a * b).sum().item() / (a.norm() * b.norm()).item(), (b.norm() / a.norm()).item() - 1, name))
        cosine, off = min(rows), max(rows, key=lambda r: abs(r[1]))
        beyond = sum(not (c >= 0.999 and abs(n) <= 0.02) for c, n, _ in rows)
        print(f"{arch}, stage {stage}: {beyond} of {len(rows)} beyond; least cosine {cosine[0]:.5f} ({cosine[2]}), "
              f"furthest norm {100 * off[1]:+.2f} % ({off[2]})", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[2])
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "ae.safetensors").exists():
        full_width.make_autoencoder(root / "ae.safetensors")
    stages = [int(a) for a in sys.argv[3:] if a.isdigit()] or [1, 2]
    for arch in [a for a in sys.argv[3:] if not a.isdigit()] or full_width.ARCHS:
        compare(str(pathlib.Path(sys.argv[1]).resolve()), root, arch, stages)
