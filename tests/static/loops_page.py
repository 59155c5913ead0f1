"""The page of all loops, bench/results/loops.md."""

import compile as compilation
import units

COLUMNS = ["target", "program", "kernel", "loop", "matrix", "fma", "vector", "scalar", "global loads", "global stores",
           "local reads", "local writes", "waits", "branches", "own clocks", "longest unit", "share", "one wave", "share"]
HEAD = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|"
DETAILS = ["sm_80", "sm_90", "gfx90a", "gfx942", "gfx1030", "gfx1100", "dg2", "pvc"]

TEXT = """# The kernels' loops

What the compilers make of the loops in which a step spends its time, for devices that were not at hand: {versions}.
Written by `scripts/loops.sh --write`. `./run-tests` reads the same loops and fails if one is below its floor in
`tests/static/floors.tsv`. **No number on this page was measured on a device.**{missing}

For every hot kernel, the steady-state loop is found in the assembly: the innermost loop that does most of its matrix
instructions, or of its multiply-adds, or of its accesses to device memory (then all such loops of a kernel together). The
instructions of one iteration are counted, on its most expensive path; a loop inside it counts as often as its counter tells.

- **own clocks**: how long one SIMD's own unit works on one iteration of one hardware thread: its matrix unit, its
  multiply-adds, or, for kernels that only move data, its share of the device memory's rate.
- **longest unit**: the unit that is busy for longest, and its clocks. Units are assumed to work side by side, as they do if
  many threads are ready.
- **share**: own clocks / the longest unit's: the most that many threads together can reach of the unit's peak.
- **one wave** (AMD): cycles of one iteration of one wave alone, by llvm-mca; a cycle is {issue}. The last column is the share of
  the peak that one wave reaches alone. A barrier costs llvm-mca's 500 cycles. It does not end for matrix loops of gfx90a, which
  therefore have no such numbers.

## What the model leaves out

- **Caches and device memory.** Loads count as if the innermost cache had the data, except in kernels that only move data.
- **Latency and occupancy.** The share assumes that enough threads are ready; how many there are is in
  [gpu-performance.md](../../docs/gpu-performance.md).
- **Clocks.** They are the data sheets' boost clocks; a chip that is busy with matrix products often runs below.
- **Bank conflicts, register banks and ports, instruction caches, the scheduler's choices.**
- **What is around the loop**: the beginning, the end, tiles at edges, half-empty last rounds of work-groups.
- **Dual issue on Intel**, and integer units beside float units on NVIDIA: each thread's instructions count in one queue there.
- NVIDIA's matrix unit is taken at the rate that `mma.sync` reaches: 62 % of the peak on sm_90. For sm_100 no rate of `mma.sync` is
  published; the page takes that of sm_80.
- A compiler that knows more than ours (a newer driver) can do better or worse.

## Shares

Per cent, by the model; `–`: not compiled for that target, or without a floor there and therefore not read.

{shares}

## Products and attention

Instructions of one iteration. Memory accesses: number × bytes per lane. Programs whose loops are the same share a row.

{products}

## Kernels that only move data

{others}
"""


def accesses(facts, kind):
    widths = facts["widths"].get(kind, {})
    return ", ".join(f"{n:g}×{w}" for w, n in sorted(widths.items(), key=lambda x: -float(x[0]))) or "0"


def short(program):
    """Without what does not change a loop's name."""
    return program.replace("tuned_", "").replace(" f32 -D", " -D").replace(" -cl-intel-256-GRF-per-thread", "").replace("-D", "").strip()


def row(target, program, facts):
    c = facts["counts"]
    inside = facts["kind"] + ("" if facts["place"] == "loop" else f", {facts['place']}")
    wave = [f"{facts['cycles']:.0f}", f"{facts['wave']:.0f} %"] if "wave" in facts else ["", ""]
    cells = [target, short(program), facts["kernel"], inside, c["matrix"], c["fma"], c["vector"], c["scalar"]]
    cells += [accesses(facts, kind) for kind in ("load", "store", "local load", "local store")]
    cells += [c["wait"], c["branch"], f"{facts['own']:.0f}", f"{facts['unit']}, {facts['busy'].get(facts['unit'], 0):.0f}"]
    return "| " + " | ".join(f"{x:g}" if isinstance(x, (int, float)) else x for x in [*cells, f"{facts['share']:.0f} %", *wave]) + " |"


def rows(results, kinds, targets):
    """One row per different loop: variants of a program that only differ outside of it are named together."""
    found = {}
    for target, program, all_facts, _, _ in results:
        for facts in all_facts:
            if facts["kind"] in kinds and target in targets:
                cells = row(target, "PROGRAM", facts)
                found.setdefault((short(program).split()[0], facts["kernel"], compilation.TARGETS.index(target), cells), []).append(short(program))
    lines = [HEAD]
    for (_, _, _, cells), programs in sorted(found.items(), key=lambda f: (f[0][0], f[1][0], f[0][1], f[0][2])):
        lines.append(cells.replace("PROGRAM", "; ".join(dict.fromkeys(programs)), 1))
    return "\n".join(lines)


def shares(results):
    targets = [t for t in compilation.TARGETS if any(r[0] == t for r in results)]
    cells = {}
    for target, program, found, _, _ in results:
        for facts in found:
            cells.setdefault((short(program), facts["kernel"]), {})[target] = f"{facts['share']:.0f}"
    lines = ["| program | kernel | " + " | ".join(targets) + " |", "|---" * (len(targets) + 2) + "|"]
    for (program, kernel), of in cells.items():
        lines.append(f"| {program} | {kernel} | " + " | ".join(of.get(t, "–") for t in targets) + " |")
    return "\n".join(lines)


def write(arguments, results, missing):
    measured = {r[0] for r in results}
    missing = {t: missing.get(t, "not read in this run") for t in compilation.TARGETS if t not in measured}
    versions = {compilation.compiler_of(t, arguments).version for t in measured}
    text = TEXT.format(
        versions=", ".join(sorted(versions)),
        missing="".join(f"\nNot here: {', '.join(t for t in missing if missing[t] == why)} ({why})."
                        for why in dict.fromkeys(missing.values())),
        issue="four clocks on gfx90a and gfx942, one on gfx1030 and gfx1100",
        shares=shares(results),
        products=rows(results, ("matrix", "fma"), DETAILS),
        others=rows(results, ("memory",), ["sm_90", "gfx942", "gfx1100", "dg2"]),
    )
    with open(arguments.write, "w") as f:
        f.write(text)
