"""Steps of PyTorch in the form of docs/results.md, for the portability page: as installed, best configured and compiled, both
stages, both denoisers, float32 and bfloat16.

    suite.py --out results/HOST [--archs tiny openai-vit-l-14-224] [--device cuda] [--batch 4] [--minutes 30]

A quick look, one step in every configuration and both types, small enough for two cores and a minute or two:

    suite.py --out results/HOST --archs tiny --stages 2 --denoisers continuous

Rows go to OUT/pytorch-steps.jsonl, which `bench portability` reads beside genhance's rows.jsonl. What that file has already is
not measured again. A configuration that fails gets a row "error" with the reason, and its turn again on the next call.
"""
import argparse
import itertools
import pathlib
import subprocess
import sys
import time

import rows
from sizes import VISION, shape_text

HERE = pathlib.Path(__file__).resolve().parent
DENOISERS = ("continuous", "discrete")
CONFIGURATIONS = {"as installed": [], "best configured": ["--best"], "as installed, compiled": ["--compile"],
                  "best configured, compiled": ["--best", "--compile"]}
DTYPES = {"float32": "f32", "bfloat16": "bf16"}
KEY = ("configuration", "op", "shape", "batch", "dtype", "device")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--archs", nargs="+", choices=VISION, default=["tiny", "openai-vit-l-14-224"])
    parser.add_argument("--stages", nargs="+", type=int, choices=(1, 2), default=[2, 1])
    parser.add_argument("--denoisers", nargs="+", choices=DENOISERS, default=list(DENOISERS))
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--configurations", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after this time")
    return parser.parse_args()


def measure(args, path, arch, stage, denoiser, precision, configuration):
    command = [sys.executable, str(HERE / "pytorch_step.py"), "--arch", arch, "--stage", str(stage), "--denoiser", denoiser,
               "--precision", precision, "--device", args.device, "--batch", str(args.batch), "--repeats",
               str(args.repeats), "--rows", str(path), *CONFIGURATIONS[configuration]]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if not result.returncode:
        return
    reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
    print(f"  failed: {reason}", file=sys.stderr)
    rows.append(path, [rows.without(
        "error", reason, "images/s", application="pytorch", configuration=configuration, backend="pytorch", device=args.device,
        hardware=rows.hardware(*rows.gpu() if args.device == "cuda" else ()), kind="step", op=f"stage {stage}",
        shape=shape_text(arch, denoiser), batch=args.batch, dtype=DTYPES[precision])])


def main():
    args = arguments()
    out, began = pathlib.Path(args.out), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "pytorch-steps.jsonl"
    seen = {tuple(row[key] for key in KEY) for row in rows.read_done(path)}
    for arch, stage, denoiser, precision, configuration in itertools.product(
            args.archs, args.stages, args.denoisers, args.precisions, args.configurations):
        key = (configuration, f"stage {stage}", shape_text(arch, denoiser), args.batch, DTYPES[precision], args.device)
        if key in seen:
            continue
        if time.monotonic() - began > 60 * args.minutes:
            print("no time left: call again to go on", file=sys.stderr)
            break
        print(*key, sep=", ", flush=True)
        measure(args, path, arch, stage, denoiser, precision, configuration)


if __name__ == "__main__":
    main()
