"""How far bf16 gradients of tests/fixtures/probe diverge from float64's, and why.

    python3 tests/reference/check_mixed.py build/genhance

Three computations of every case besides the exact one: `matrices`, float64 throughout from matrices rounded to
bf16, the smallest error possible in bf16 training; `autocast`, PyTorch's own mixed precision on the CPU; `ours`,
`genhance probe` with precision bf16. A tensor fails if its cosine is below 0.999 or its norm is more than 2 % off.
"""
import json
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

import common
from common import FIXTURES


def gradients(config, folder, stage, inputs, how):
    step = common.Step(config, folder)
    trained = step.trained(stage)
    step.to(torch.float32 if how == "autocast" else torch.float64)
    kept = ("autoencoder.", "position_embedding", ".probe")  # float32 in ours too
    for name, p in step.named_parameters():
        if how == "matrices" and p.dim() > 1 and not any(k in name for k in kept):
            p.data = p.data.to(torch.bfloat16).to(p.dtype)
    encode = step.objective.autoencoder.encode

    def in_float32(*args):
        with torch.autocast("cpu", enabled=False):
            return encode(*args)

    step.objective.autoencoder.encode = in_float32
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        loss = step(inputs)["loss"]
    loss.sum().backward()
    return {k: p.grad.double() for k, p in trained.items()}


def ours(program, folder, case):
    with tempfile.TemporaryDirectory() as out:
        path = out + "/out.safetensors"
        subprocess.run([program, "probe", "--config", case[2], "--stage", case[1], "--inputs", case[3], "--out", path,
                        "--set", "precision=bf16"], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return {k.removeprefix("grad."): v.double() for k, v in load_file(path).items() if k.startswith("grad.")}


def distances(exact, rounded):
    """(cosine, ratio of norms, relative error) of every tensor; the gradient of a key's bias is zero up to rounding."""
    result = []
    for name, a in exact.items():
        b = rounded[name]
        if not name.endswith("k_proj.bias"):
            result.append(((a * b).sum() / (a.norm() * b.norm()), b.norm() / a.norm(), (a - b).norm() / a.norm()))
    return torch.tensor(result)


def describe(d):
    beyond = ((d[:, 0] < 0.999) | ((d[:, 1] - 1).abs() > 0.02)).sum()
    return f"{beyond:3d} of {len(d)} beyond, cosine {d[:, 0].min():.4f}, norm {d[(d[:, 1] - 1).abs().argmax(), 1]:.3f}"


def main(program):
    everything = {}
    for setting in ("tiny", "edges", "siglip"):
        folder = FIXTURES / "probe" / setting
        for line in (folder / "cases.txt").read_text().splitlines():
            case = line.split()
            args = json.loads((folder / case[2]).read_text()), folder, int(case[1]), load_file(folder / case[3])
            exact = gradients(*args, "exact")
            found = {how: distances(exact, gradients(*args, how)) for how in ("matrices", "autocast")}
            found["ours"] = distances(exact, ours(program, folder, case))
            for how, d in found.items():
                print(f"{setting}/{case[0]:16} {how:9} {describe(d)}", flush=True)
                everything.setdefault(how, []).append(d)
    for how, parts in everything.items():
        d = torch.cat(parts)
        print(f"{'all':23} {how:9} {describe(d)}, error {d[:, 2].square().mean().sqrt():.4f} (mean square)")


if __name__ == "__main__":
    import pathlib

    main(pathlib.Path(sys.argv[1]).resolve())
