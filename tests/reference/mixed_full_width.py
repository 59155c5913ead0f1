"""Full width: the gradients of `genhance probe` with precision bf16 compared with its own float32 ones.

    python tests/reference/mixed_full_width.py build/genhance FOLDER [STAGE...] [ARCH...] [--denoiser discrete]

The models are full_width.py's: random weights, adapters as large as the weights they adapt. Four samples. Prints the
smallest cosine, the worst norm, and how many tensors exceed 0.999 and 2 %; a key bias's gradient is only rounding
noise.
"""
import shutil
import subprocess

from safetensors.torch import load_file

import common
import full_width

SAMPLES = 4


def gradients(binary, folder, stage, precision):
    subprocess.run([binary, "probe", "--config", "run.json", "--inputs", "inputs.safetensors", "--stage", str(stage), "--out",
                    "out.safetensors", "--set", f"precision={precision}"], cwd=folder, check=True)
    found = load_file(folder / "out.safetensors")
    return {k: v.double() for k, v in found.items() if k.startswith("grad.") and not k.endswith(common.KEY_BIASES)}


def compare(binary, root, arch, stages, kind):
    folder = root / arch
    full_width.write_case(folder, arch, kind, SAMPLES)
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
    full_width.each_backbone(__doc__, compare)
