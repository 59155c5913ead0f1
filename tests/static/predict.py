"""Predicts a training step on GPUs that are not there, from the loops in their compilers' assembly, the devices' published rates
and the step's list of launches. docs/gpu-performance.md describes the model and has the result.

usage: predict.py PROGRAMS WORK --step PROGRAM [--nvrtc LIBRARY] [--ocloc PROGRAM] [--nvdisasm PROGRAM] [--mca PROGRAM]
                  [--page FILE] [--table FILE]
       predict.py --beside TABLE MEASURED.json ...

  --step PROGRAM   the program of tests/static/step.c
  --page FILE      replace the tables between the page's two marks
  --table FILE     write every predicted time: card, stage, precision, batch, kernel, launches, milliseconds
  --beside TABLE   print what `genhance bench step --json` measured beside what the table has for that device
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
from collections import namedtuple

import loops as reading
import units

ARCH, STAGE, BATCH = "openai-vit-l-14-224", 2, 32
SETS = ["denoiser.double_blocks=2", "denoiser.single_blocks=4"]
PRECISIONS = ["bf16", "float32"]

# compute     compute units: multiprocessors, CUs, Xe cores
# simds       of one of them
# threads     hardware threads of a SIMD at most
# registers   of a SIMD and lane, for all its threads; of Intel, per thread
# granule     registers are handed out in multiples of this
# local       bytes of local memory of a compute unit; `reserved`: of these, taken by each work-group
# latency     clocks until a load that misses the innermost cache is answered
# launch      microseconds between two kernels of a step
# bf16, f32   TFLOP/s of the data sheet: matrix units without sparsity; multiply-adds
# memory      GiB
# library     the vendor's matrix products that genhance uses there, and the share of the peak that is assumed
Card = namedtuple("Card", "name seen target unit compute simds threads registers granule local reserved latency launch bf16 f32 "
                          "memory library")
CARDS = [
    Card("H200", "H200", "sm_90", "mma", 132, 4, 16, 512, 8, 228 << 10, 1 << 10, 600, 2, 989, 67, 141, ("cuBLASLt", 0.7)),
    Card("MI300X", "MI300X|gfx942", "gfx942", "mfma", 304, 4, 8, 512, 8, 64 << 10, 0, 1200, 6, 1307, 163, 192, None),
    Card("RX 7900 XTX", "7900 XTX|gfx1100", "gfx1100", "wmma", 96, 2, 16, 1536, 24, 64 << 10, 0, 600, 6, 123, 61, 24, None),
    Card("Arc A770", "A770", "dg2", "dpas8", 32, 16, 8, 128, 1, 128 << 10, 0, 700, 10, 138, 17, 16, None),
]
REACHED = 0.9  # of the data sheet's memory rate: what copies reach
UNREAD = 0.7  # the same for kernels whose loops are not read: they run seldom

Launch = namedtuple("Launch", "phase op kernel program groups items axes flops bytes shape candidates")
Time = namedtuple("Time", "seconds bound facts occupied provider")


# ---- the step ----


def grid_of(cells):
    numbers = [int(x) for x in cells]
    return math.prod(numbers[:3]), math.prod(numbers[3:]), numbers[:3]


def program_of(source, defines, storage):
    return f"{source} {storage}{' ' if defines else ''}{defines}"


def read_step(text):
    launches, memory = [], 0
    for line in text.splitlines():
        cells = line.split("\t")
        if cells[0] == "memory":
            memory = int(cells[1])
        elif cells[0] == "launch":
            phase, op, kernel, source, defines, storage = cells[1:7]
            groups, items, axes = grid_of(cells[7:13])
            flops, bytes = float(cells[13]), float(cells[14])
            shape = [int(x) for x in re.findall(r"\d+", cells[15])]
            if op == "adamw":
                bytes *= 2  # parameter, gradient, two moments: all read and written, the gradient cleared
            if kernel == "conv2d_columns":  # reads a part of one picture of the batch
                bytes -= math.prod(shape) * (2 if storage == "bf16" else 4) * (1 - 1 / shape[0])
            program = program_of(source, defines, storage)
            launches.append(Launch(phase, op, kernel, program, groups, items, axes, flops, bytes, shape, []))
        elif cells[0] == "candidate":
            name, kernel, source, defines, storage = cells[1:6]
            groups, items, axes = grid_of(cells[6:12])
            launches[-1].candidates.append((name, kernel, program_of(source, defines, storage), groups, items, axes))
    return launches, memory


# ---- occupancy ----


def occupancy(card, facts, items):
    """(work-groups of a compute unit at once, hardware threads of a work-group)"""
    takes = facts["takes"]
    threads = math.ceil(items / (takes.get("lanes") or facts["lanes"]))
    if card.target == "dg2":
        resident = card.threads * card.registers // max(takes["registers"], card.registers)
    else:
        granted = math.ceil(max(takes["registers"], 1) / card.granule) * card.granule
        resident = min(card.threads, card.registers // granted)
    groups = resident * card.simds // threads
    if takes["local"]:
        groups = min(groups, card.local // (takes["local"] + card.reserved))
    return max(groups, 1), threads


# ---- one launch ----


def alone(card, facts):
    """Clocks of one iteration of one hardware thread, if it runs alone."""
    inside = facts["cycles"] * units.TARGETS[card.target].issue if "cycles" in facts else facts["serial"]
    return inside + facts["waits"] * card.latency


def clocks(card, facts, groups, items, iterations):
    """(clocks, whether latency limits): `iterations` of all hardware threads together, in rounds of resident work-groups."""
    most = max((c for unit, c in facts["busy"].items() if unit != units.MEMORY), default=1)
    resident, threads = occupancy(card, facts, items)
    each = iterations / groups
    total, left, latency = 0.0, groups, False
    while left > 0:
        at_once = min(resident, math.ceil(left / card.compute))
        rounds = max(1, left // (card.compute * at_once))
        ready = max(1, at_once * threads / card.simds)
        per = max(most, alone(card, facts) / ready)
        latency = latency or per > most
        total += rounds * at_once * each / min(card.simds, at_once * threads) * per
        left -= rounds * card.compute * at_once
    return total, latency


def pow2(n):
    return 1 << max(4, math.ceil(math.log2(max(n, 1))))


def product_seconds(card, facts, launch, candidate):
    _, _, _, groups, items, axes = candidate
    size = {k: int(v) for k, v in re.findall(r"(m|n|k|batch)=(\d+)", launch.kernel)}
    # tiles at the edges work as long as whole ones
    if size:
        wide, high = (pow2(math.ceil(size[s] / axes[d])) for s, d in (("n", 0), ("m", 1)))
        work = axes[0] * wide * axes[1] * high * size["k"] * size["batch"]
    else:
        work = launch.flops / 2
    if launch.op.startswith("attention"):  # (batch, rows, heads, size): tiles of rows, and of 64 rows on the other side
        rows = launch.shape[1]
        work *= axes[0] * pow2(math.ceil(rows / axes[0])) / rows * math.ceil(rows / 64) * 64 / rows
        if "ALONE=1" in launch.program:  # dk and dv by different work-groups: both compute the scores
            work *= 5 / 4
    total, latency = clocks(card, facts, groups, items, work / facts["work"])
    compute = total / (units.TARGETS[card.target].clock * 1e9)
    memory = launch.bytes / (units.TARGETS[card.target].gbytes * 1e9 * REACHED)
    bound = "memory" if memory > compute else "latency" if latency else facts["unit"]
    return max(compute, memory), bound


def row_seconds(card, facts, launch):
    t = units.TARGETS[card.target]
    resident, threads = occupancy(card, facts, launch.items)
    at_once = min(resident * card.compute, launch.groups) * threads
    rate = t.gbytes * 1e9 * REACHED
    flight = at_once * facts["global"] / max(alone(card, facts), 1) * t.clock * 1e9
    issue = t.gbytes * 1e9 * facts["share"] / 100 if facts["share"] else rate
    least = min(rate, flight, issue)
    bound = "memory" if least == rate else "latency" if least == flight else facts["unit"]
    return launch.bytes / least, bound


FASTER = 1.5  # by which a run prefers a library's product of columns to its own convolution: src/backend/chooser/trial.c


def columns_bytes(launch):
    """Of a convolution's columns, written and read once; 0: it is another product."""
    if not re.search(r" \d+x\d+ ", launch.kernel):
        return 0
    size = {k: int(v) for k, v in re.findall(r"(n|k|batch)=(\d+)", launch.kernel)}
    return 2 * 4 * size["n"] * size["k"] * size["batch"]


def predict(card, loops, launch, library):
    """The time of one launch: a Time."""
    t = units.TARGETS[card.target]
    if launch.kernel.startswith("gemm "):
        found = []
        for candidate in launch.candidates:
            facts = loops.get((card.target, candidate[2], candidate[1]))
            if facts:
                seconds, bound = product_seconds(card, facts, launch, candidate)
                found.append(Time(seconds, bound, facts, occupied(card, facts, candidate[4]), candidate[0]))
        if library and card.library:
            peak = (card.bf16 if "bf16" in launch.kernel else card.f32) * 1e12
            seconds = max(launch.flops / (peak * card.library[1]), launch.bytes / (t.gbytes * 1e9 * REACHED))
            columns = columns_bytes(launch)
            seconds += columns / (t.gbytes * 1e9 * REACHED)
            if not columns or FASTER * seconds < min(f.seconds for f in found):
                found = [Time(seconds, "assumed", None, None, card.library[0])]
        return min(found, key=lambda f: f.seconds)
    facts = loops.get((card.target, launch.program, launch.kernel))
    if facts and facts["kind"] != "memory" and facts["work"] and launch.flops:
        seconds, bound = product_seconds(card, facts, launch, ("", "", "", launch.groups, launch.items, launch.axes))
    elif facts and facts["global"]:
        seconds, bound = row_seconds(card, facts, launch)
    else:
        return Time(launch.bytes / (t.gbytes * 1e9 * UNREAD), "memory", None, None, "")
    return Time(seconds, bound, facts, occupied(card, facts, launch.items), "")


def occupied(card, facts, items):
    groups, threads = occupancy(card, facts, items)
    return groups * threads / card.simds


# ---- the step's time ----


def kind_of(launch):
    if launch.kernel.startswith("gemm "):
        return "convolutions" if launch.op.startswith("conv2d") else "products"
    if launch.op.startswith("conv2d"):
        return "convolutions"
    return "attention" if launch.op.startswith("attention") else "rows"


def kernel_name(launch, time):
    if not launch.kernel.startswith("gemm "):
        return launch.kernel
    way = re.search(r"k=\d+ ([nt]{2})", launch.kernel)[1]
    return f"gemm_{way}, {time.provider}"


def step_times(card, loops, launches, library):
    """{kernel: [launches, seconds, kind, {bound: seconds}, Time of the longest]}, without the time between kernels"""
    table = {}
    for launch in launches:
        time = predict(card, loops, launch, library)
        row = table.setdefault(kernel_name(launch, time), [0, 0.0, kind_of(launch), {}, time])
        row[0] += 1
        row[1] += time.seconds
        row[3][time.bound] = row[3].get(time.bound, 0) + time.seconds
        if time.seconds > row[4].seconds:
            row[4] = time
    return table


# ---- text ----

KINDS = ["products", "attention", "convolutions", "rows"]


def step_row(card, precision, launches, memory, table, library):
    between = len(launches) * card.launch * 1e-6
    total = sum(row[1] for row in table.values()) + between
    by_kind = [sum(row[1] for row in table.values() if row[2] == kind) for kind in KINDS]
    flops = sum(l.flops for l in launches)
    peak = (card.bf16 if precision == "bf16" else card.f32) * 1e12
    name = card.name + (f", {card.library[0]}" if library else "")
    cells = [name, precision, f"**{1e3 * total:.0f}**", f"{BATCH / total:.0f}", *(f"{1e3 * s:.1f}" for s in by_kind)]
    fits = "yes" if memory < card.memory * 2**30 * 0.95 else "no"
    cells += [f"{1e3 * between:.1f}", f"{flops / total * 1e-12:.0f}", f"{100 * flops / total / peak:.0f} %", fits]
    return "| " + " | ".join(cells) + " |", total


def kernel_rows(card, table, most):
    lines = []
    everything = sum(row[1] for row in table.values())
    for name, (count, seconds, _, bounds, time) in sorted(table.items(), key=lambda r: -r[1][1])[:most]:
        facts = time.facts
        bound = max(bounds, key=bounds.get)
        cells = [card.name, name, f"{count}", f"{1e3 * seconds:.2f}", f"{100 * seconds / everything:.0f} %"]
        cells += [f"{facts['takes']['registers']}", f"{facts['takes']['local']}", f"{time.occupied:g}",
                  f"{facts['share']:.0f} %"] if facts else ["", "", "", ""]
        lines.append("| " + " | ".join([*cells, bound]) + " |")
    return lines


STEP_HEAD = ["card", "precision", "ms", "images/s", *KINDS, "between kernels", "TFLOP/s", "of the peak", "fits"]
KERNEL_HEAD = ["card", "kernel", "launches", "ms", "of the step", "registers", "local memory", "threads per SIMD", "share", "bound by"]


def head(cells):
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|"]


BEGIN, END = "<!-- tables: scripts/predict.sh -->", "<!-- end of the tables -->"


def replace_tables(path, lines):
    with open(path) as f:
        text = f.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w") as f:
        f.write(before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after)


def list_step(arguments, card, precision):
    command = [arguments.step, ARCH, str(STAGE), precision, str(BATCH), card.unit, *SETS]
    return read_step(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def run(arguments):
    reading.find_tools(arguments)
    step = {(card, precision): list_step(arguments, card, precision) for card in CARDS for precision in PRECISIONS}
    named = {(card.target, program) for (card, _), (launches, _) in step.items() for l in launches
             for program in [l.program, *(c[2] for c in l.candidates)]}
    missing, results = reading.measure(arguments, [card.target for card in CARDS], lambda *one: one in named)
    if missing:
        sys.exit("predict.py: " + "; ".join(f"{t}: {why}" for t, why in missing.items()))
    loops = {(t, program, facts["kernel"]): facts for t, program, found, _, _ in results for facts in found}
    steps, kernels, rows = head(STEP_HEAD), head(KERNEL_HEAD), []
    for precision in PRECISIONS:
        for card in CARDS:
            launches, memory = step[card, precision]
            for library in [False, True] if card.library else [False]:
                table = step_times(card, loops, launches, library)
                line, total = step_row(card, precision, launches, memory, table, library)
                steps.append(line)
                if library or not card.library:  # what genhance uses there
                    rows.append((card.name, STAGE, precision, BATCH, "step", len(launches), 1e3 * total))
                    rows += [(card.name, STAGE, precision, BATCH, k, r[0], 1e3 * r[1]) for k, r in table.items()]
                if precision == "bf16" and not library:
                    kernels += kernel_rows(card, table, 14)
    lines = ["### The step", "", *steps, "", "### Its kernels, in bf16, without a vendor's library", "", *kernels]
    print("\n".join(lines))
    if arguments.page:
        replace_tables(arguments.page, lines)
    if arguments.table:
        with open(arguments.table, "w") as f:
            f.write("card\tstage\tprecision\tbatch\tkernel\tlaunches\tmilliseconds\n")
            f.writelines("\t".join(map(str, row[:-1])) + f"\t{row[-1]:.4g}\n" for row in rows)


# ---- measured beside predicted ----


def beside(table, measured):
    with open(table) as f:
        rows = [line.rstrip("\n").split("\t") for line in f][1:]
    lines = []
    for path in filter(os.path.exists, measured):  # a step that failed has no file
        with open(path) as f:
            step = json.load(f)
        card = next((c for c in CARDS if re.search(c.seen, step.get("device_name", ""), re.I)), None)
        precision = {"bfloat16": "bf16"}.get(step.get("precision"), step.get("precision"))
        want = [str(x) for x in (card and card.name, step.get("stage"), precision, step.get("batch"))]
        found = {row[4]: row for row in rows if row[:4] == want}
        if not found:
            continue
        got = 1e3 * step["step_seconds_median"]
        lines += compare_row(step, "step", got, found)
        totals = {}
        for row in step.get("profile", []):
            way = re.search(r"k=\d+ ([nt]{2})", row["name"])
            name = "gemm_" + way[1] if way else row["name"]
            totals[name] = totals.get(name, 0) + 1e3 * row["seconds"]
        merged = {}
        for name, row in found.items():
            merged.setdefault(name.split(",")[0], []).append(row)
        for name, got in sorted(totals.items(), key=lambda t: -t[1])[:20]:
            if name in merged:
                ms = sum(float(row[6]) for row in merged[name])
                lines += compare_row(step, name, got, {name: [*merged[name][0][:6], ms]})
    if lines:
        print("\n".join(head(["stage", "precision", "kernel", "predicted ms", "measured ms", "measured / predicted"]) + lines))
    else:
        print("Nothing is predicted for this device, stage, batch and precision (docs/gpu-performance.md).")


def compare_row(step, name, got, found):
    ms = float(found[name][6])
    return [f"| {step['stage']} | {step['precision']} | {name} | {ms:.2f} | {got:.2f} | {got / ms:.2f} |"]


def main():
    if sys.argv[1:2] == ["--beside"] and len(sys.argv) > 2:
        return beside(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("work")
    for name in ("step", "nvrtc", "ocloc", "nvdisasm", "mca", "page", "table"):
        parser.add_argument("--" + name)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.set_defaults(program=None, kernel=None)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
