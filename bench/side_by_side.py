"""Times `genhance bench step` and PyTorch in turn, for several rounds, and writes one Markdown table.

    side_by_side.py GENHANCE --out bench/results/step-MACHINE.md [--stages 2,1] [--rounds 2] [--repeats 3]
                    [--denoiser discrete] [--precision bf16] [--set autoencoder_precision=bf16]

Each round runs genhance, PyTorch as installed and PyTorch in its best configuration, one process at a time. Ratios are
taken within a round, so that a slower machine affects all three. Requires what bench/peers requires.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BLOCKS = {1: ["--double-blocks", "1", "--single-blocks", "2"], 2: ["--double-blocks", "2", "--single-blocks", "4"]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genhance")
    parser.add_argument("--out", required=True)
    parser.add_argument("--arch", default="openai-vit-l-14-224")
    parser.add_argument("--batch", default="4")
    parser.add_argument("--denoiser", choices=("continuous", "discrete"), default="continuous")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--stages", default="2,1")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeats", default="3")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of genhance's configuration")
    parser.add_argument("--without-best", action="store_true", help="leave out PyTorch in its best configuration")
    return parser.parse_args()


def measure(command, folder):
    path = pathlib.Path(folder) / "out.json"
    subprocess.run([*command, "--json", str(path)], check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def stage_rows(args, stage):
    common = ["--arch", args.arch, "--stage", str(stage), "--batch", args.batch, "--repeats", args.repeats]
    blocks = BLOCKS[stage] if args.denoiser == "continuous" else []
    peer = [sys.executable, str(HERE / "peers" / "pytorch_step.py"), *common, *blocks, "--denoiser", args.denoiser,
            "--precision", args.precision.replace("bf16", "bfloat16")]
    ours = [args.genhance, "bench", "step", *common, *blocks, "--set", f"denoiser.kind={args.denoiser}",
            "--precision", args.precision, *(word for one in args.set for word in ("--set", one))]
    programs = {"genhance": ours, "PyTorch, as installed": peer,
                "PyTorch, best configuration": [*peer, "--best"]}
    if args.without_best:
        programs.popitem()
    seen = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for one in range(args.rounds):
            for name, command in programs.items():
                seen[name].append(measure(command, folder))
                print(f"stage {stage}, round {one + 1}, {name}: {seen[name][-1]['step_seconds_median']:.2f} s", flush=True)
    ours = [r["step_seconds_median"] for r in seen["genhance"]]
    for name, results in seen.items():
        seconds = [r["step_seconds_median"] for r in results]
        ratios = [theirs / mine for theirs, mine in zip(seconds, ours)]
        resident = max(r.get("resident_bytes", 0) for r in results) / 2**30
        median = statistics.median(seconds)
        yield (f"| {stage} | {name} | {median:.2f} | {min(seconds):.2f}–{max(seconds):.2f} | {int(args.batch) / median:.3f} | "
               f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {resident:.1f} |")


def main():
    args = arguments()
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    rows = [row for stage in args.stages.split(",") for row in stage_rows(args, int(stage))]
    sizes = {"continuous": "1+2 blocks in stage 1, 2+4 in stage 2", "discrete": "6 layers, 16384 codes"}[args.denoiser]
    text = f"""# A training step compared with PyTorch: {args.arch}, {args.denoiser} denoiser, batch {args.batch}, {args.precision}

{processor()}, {len(os.sched_getaffinity(0))} virtual cores, commit {commit.strip()}; {args.rounds} rounds in turn, {args.repeats} timed \
updates each. Stage 1 trains the denoiser, stage 2 adapters on the encoder through the frozen denoiser ({sizes}). Seconds
are medians, with the range over the rounds. The ratio is PyTorch's seconds over genhance's in the same round: median
(minimum–maximum).

| stage | program | s per step | range | images/s | ratio to genhance | resident GiB |
|---|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n"
    pathlib.Path(args.out).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
