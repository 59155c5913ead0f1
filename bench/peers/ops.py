"""Single products in other programs, in the form of docs/results.md: what a user would pick instead of genhance's kernels.

    ops.py --rows results/HOST/rows.jsonl --program pytorch --out results/HOST [--device cuda] [--top 8] [--minutes 10]
    ops.py --rows results/HOST/rows.jsonl --program tinygrad --out results/HOST

Takes the products (matrix products, convolutions, attention) of genhance's rows, those with the most arithmetic first, and
measures the same ones. pytorch: forward and backward, as installed. tinygrad: its own portable kernels on the device that it
finds (DEV=CL selects OpenCL), forward alone. CLBlast alone needs no other program: GH_GEMM=clblast genhance bench suite.
Rows go to OUT/PROGRAM-ops.jsonl. What that file has already is not measured again, but errors are.
"""
import argparse
import json
import math
import pathlib
import re
import sys
import time

import rows

KEY = ("op", "shape", "batch", "dtype")
LINEAR = re.compile(r"^([\dx]+) -> (\d+)(?:, (frozen|first|no gradient|an adapter's|a modulation's))?$")
CONV2D = re.compile(r"^(\d+)x(\d+), (\d+)x(\d+)x(\d+) -> (\d+), stride (\d+)(?:, (frozen|first|no gradient))?$")
ATTENTION = re.compile(r"^(\d+) tokens of (\d+), (\d+) heads of (\d+)(?:, (no gradient))?$")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--program", choices=PROGRAMS, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cpu", help="of pytorch: cpu or cuda")
    parser.add_argument("--top", type=int, default=8, help="how many products")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after this time")
    return parser.parse_args()


def parse(row):
    """Shapes of the operands (x, weight) or (q, k, v), which of them get a gradient, and the geometry; None: not one of these."""
    batch = row["batch"]
    if row["op"] == "linear" and (m := LINEAR.match(row["shape"])):
        x = (batch, *map(int, m[1].split("x")))
        return [x, (int(m[2]), x[-1])], [m[3] not in ("first", "no gradient"), m[3] not in ("frozen", "no gradient")], None
    if row["op"] == "conv2d" and (m := CONV2D.match(row["shape"])):
        kh, kw, c, h, w, out, stride = map(int, m.groups()[:7])
        return [(batch, c, h, w), (out, c, kh, kw)], [m[8] not in ("first", "no gradient"), m[8] not in ("frozen", "no gradient")], \
            (stride, kh // 2)
    if row["op"] == "attention" and (m := ATTENTION.match(row["shape"])):
        nq, nk, heads, size = map(int, m.groups()[:4])
        return [(batch, heads, n, size) for n in (nq, nk, nk)], [m[5] is None] * 3, None
    return None


class PyTorch:
    name, backend, passes = "pytorch", "pytorch", ("forward", "backward")

    def __init__(self, args):
        import torch
        self.torch, self.device, self.version = torch, args.device, torch.__version__
        gpu = rows.gpu() if args.device == "cuda" else ()
        self.hardware, self.device_name = rows.hardware(*gpu), gpu[0] if gpu else rows.processor()

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def function(self, op, geometry):
        f = self.torch.nn.functional
        if op == "linear":
            return f.linear
        if op == "attention":
            return f.scaled_dot_product_attention
        stride, pad = geometry
        if stride == 1:
            return lambda x, w: f.conv2d(x, w, padding=pad)
        return lambda x, w: f.conv2d(f.pad(x, (0, 1, 0, 1)), w, stride=stride)  # as the autoencoders halve

    def bodies(self, op, shapes, wanted, geometry, dtype):
        torch = self.torch
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        tensors = [torch.rand(s, device=self.device, dtype=kind).sub_(0.5).requires_grad_(w) for s, w in zip(shapes, wanted)]
        run = self.function(op, geometry)

        def forward():
            run(*tensors)
            self.wait()

        yield "forward", forward
        leaves = [t for t in tensors if t.requires_grad]
        if not leaves:
            return
        out = run(*tensors)
        seed = torch.ones_like(out)

        def backward():
            torch.autograd.grad(out, leaves, seed, retain_graph=True)
            self.wait()

        yield "backward", backward


class Tinygrad:
    name, backend = "tinygrad", "tinygrad"

    def __init__(self, args):
        import tinygrad
        from importlib.metadata import version
        self.tg, self.version, self.device = tinygrad, version("tinygrad"), tinygrad.Device.DEFAULT
        self.hardware, self.device_name = rows.hardware(), rows.processor()

    def bodies(self, op, shapes, wanted, geometry, dtype):
        tg = self.tg
        kind = {"f32": tg.dtypes.float32, "bf16": tg.dtypes.bfloat16}[dtype]
        tensors = [tg.Tensor.rand(*s).sub(0.5).cast(kind).realize() for s in shapes]
        stride, pad = geometry or (1, 0)

        def run(*given):
            if op == "linear":
                return given[0].matmul(given[1].transpose()).realize()
            if op == "attention":
                return given[0].scaled_dot_product_attention(*given[1:]).realize()
            x = given[0].pad((None, None, (0, 1), (0, 1))) if stride > 1 else given[0]
            return x.conv2d(given[1], stride=stride, padding=pad if stride == 1 else 0).realize()

        jitted = tg.TinyJit(run)

        def forward():
            jitted(*tensors)
            tg.Device[self.device].synchronize()

        for _ in range(3):  # the first calls record
            forward()
        yield "forward", forward


PROGRAMS = {"pytorch": PyTorch, "tinygrad": Tinygrad}


def choose(path, top):
    """The products with the most arithmetic, each once."""
    seen = {}
    for line in pathlib.Path(path).read_text().splitlines():
        row = json.loads(line)
        if row["kind"] == "product" and row["pass"] in ("forward", None) and row["status"] == "ok" and parse(row):
            seen.setdefault((row["op"], row["shape"], row["batch"], row["dtype"]), row)
    return sorted(seen.values(), key=lambda row: -(row["flop"] or 0))[:top]


def common(program, row):
    keys = ("kind", "op", "shape", "batch", "dtype")
    return {**{k: row[k] for k in keys}, "application": program.name, "backend": program.backend, "commit": program.version,
            "configuration": "as installed", "device": program.device, "device_name": program.device_name,
            "hardware": program.hardware}


def measure(program, row, repeats):
    shapes, wanted, geometry = parse(row)
    flop = {"forward": row["flop"], "backward": row["flop"] * sum(wanted) if row["op"] != "attention" else 2.5 * row["flop"]}
    try:
        for name, body in program.bodies(row["op"], shapes, wanted, geometry, row["dtype"]):
            seconds = rows.repeat(body, repeats)
            yield rows.make(**common(program, row), unit="s", **{"pass": name}, **rows.sample(seconds),
                            **rows.work(seconds, flop[name], row["bytes"] if name == "forward" else None),
                            flop_nominal=row["op"] == "conv2d")  # a library may choose Winograd or a transform
    except Exception as error:  # whatever the program says: the row has it
        status = "unsupported" if isinstance(error, NotImplementedError) else "error"
        yield rows.without(status, f"{type(error).__name__}: {error}", "s", **common(program, row), **{"pass": "forward"})


def main():
    args = arguments()
    program, began = PROGRAMS[args.program](args), time.monotonic()
    path = pathlib.Path(args.out) / f"{program.name}-ops.jsonl"
    seen = {tuple(row[key] for key in KEY) for row in rows.read_done(path)}
    for row in choose(args.rows, args.top):
        if tuple(row[key] for key in KEY) in seen:
            continue
        if time.monotonic() - began > 60 * args.minutes:
            print("no time left", file=sys.stderr)
            break
        found = list(measure(program, row, args.repeats))
        rows.append(path, found)
        for one in found:
            print(one["op"], one["shape"], one["dtype"], one["pass"], one["status"], one["value"], one["reason"] or "")


if __name__ == "__main__":
    main()
