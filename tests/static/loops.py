"""Reads the steady-state loop of every hot kernel in the compilers' assembly, for devices that this machine does not have, and
says which part of the time the units that matter can be busy.

usage: loops.py PROGRAMS WORK [--nvrtc LIBRARY] [--ocloc PROGRAM] [--nvdisasm PROGRAM] [--mca PROGRAM] [--floors FILE]
                [--write FILE] [--raise] [--program PATTERN] [--kernel PATTERN] [--show] [TARGET ...]

PROGRAMS and WORK as for compile.py. Prints one line per target as compile.py does; a test is a hot kernel of a program on a
target. It fails if a measure is below its floor in FILE, or if FILE has no floor for it.
  --write FILE       write the page of all loops that have floors
  --raise            rewrite the numbers of the floors' rows from what is measured
  --program, --kernel  only those that match ("*matrix*TILE=128*", "gemm_nt"); prints a row for each instead of testing; with
                     --raise, rewrites the rows that they have
  --show             with these, print the instructions of the loop too
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import gzip
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

import assembly
import compile as compilation
import flow
import loops_page
import units
from floors import Floors

# What limits a hot kernel if it is good: the matrix units, else multiply-adds ("product"), or device memory.
PRODUCTS = ["gemm_*", "attention_forward", "attention_backward_*", "attention_matrix_*", "conv2d_product*"]
ALIKE = 0.8  # the innermost loop that does this share of the most work is the one that counts


def is_product(kernel):
    return any(fnmatch.fnmatch(kernel, pattern) for pattern in PRODUCTS)


# ---- disassembly ----


def tool(command, **options):
    code, out = compilation.run(command, **options)
    if code:
        raise compilation.Broken(f"{command[0]}: {out.strip()}")
    return out


def disassemble(arguments, target, code):
    """The kernels of what compile.py kept."""
    if target in compilation.AMD:
        return assembly.amd_kernels(code.decode())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "in.bin")
        with open(path, "wb") as f:
            f.write(code)
        if target in compilation.NVIDIA:
            return assembly.nvidia_kernels(tool([arguments.nvdisasm, "-c", path]))
        compiler = compilation.compiler_of(target, arguments)
        for library in glob.glob("/usr/lib/*/libiga64.so.1")[:1]:  # ocloc loads it by another name
            os.symlink(library, os.path.join(folder, "libiga64.so"))
        paths = compiler.environment.get("LD_LIBRARY_PATH", "") + ":" + folder
        command = [compiler.ocloc, "disasm", "-file", path, "-device", target, "-dump", folder]
        tool(command, env=dict(compiler.environment, LD_LIBRARY_PATH=paths))
        takes = compilation.intel_kernels(compilation.intel_facts(code))
        text = ""
        for name in takes:
            with open(os.path.join(folder, f".text.{name}.asm")) as f:
                text += f"KERNEL {name} {takes[name]['lanes']}\n{f.read()}\n"
        return assembly.intel_kernels(text)


# ---- the loop ----


def amount(runs, kind):
    return sum(times * sum(x.work * x.lanes if kind == "fma" else x.work for x in run if x.kind == kind)
               for times, run in runs)


def global_bytes(runs):
    return sum(times * sum(x.bytes * x.lanes for x in run if x.kind in ("load", "store")) for times, run in runs)


def length(runs):
    return sum(len(run) for _, run in runs)


def product_runs(of, cost, kind):
    """The loop that does the work; the whole kernel if there is no loop."""
    found = [(loop, flow.iteration(of, loop, cost)) for loop in of.loops]
    found = [(loop, runs) for loop, runs in found if amount(runs, kind)]
    if not found:
        return "kernel", flow.iteration(of, None, cost)
    most = max(amount(runs, kind) for _, runs in found)
    found = [(loop, runs) for loop, runs in found if amount(runs, kind) >= ALIKE * most]
    _, runs = min(found, key=lambda f: (len(f[0].blocks), length(f[1])))
    return "loop", runs


def memory_runs(of, cost):
    """All innermost loops that access device memory, but for the remainders of unrolled ones; else the whole kernel."""
    found = []
    for loop in of.loops:
        own = flow.iteration(of, loop._replace(children=[]), cost) if not loop.children else None
        if own and global_bytes(own):
            found.append(own)
    if not found:
        return "kernel", flow.iteration(of, None, cost)
    most = max(map(global_bytes, found))
    runs = [run for own in found if 2 * global_bytes(own) >= most for run in own]
    return "loop" if len(found) == 1 else "loops", runs


def waits_for_loads(runs):
    """How often an iteration can only go on when loads have answered: once for each group of loads between two groups of
    local stores."""
    waits = 0
    for times, run in runs:
        pending = False
        for x in run:
            if pending and x.kind == "local store":
                waits += times
            pending = x.kind == "load" or pending and x.kind != "local store"
        waits += times * pending
    return waits


def facts_of(target, kernel):
    """What the page, the floors and the prediction need of a kernel, as plain numbers."""
    of = flow.Flow(kernel)
    cost = lambda x: units.cost(target, x)
    product = is_product(kernel.name)
    kind = "matrix" if any(x.kind == "matrix" for x in kernel.code) else "fma" if product else "memory"
    place, runs = product_runs(of, cost, kind) if kind != "memory" else memory_runs(of, cost)
    counts, widths = dict.fromkeys(assembly.CLASSES, 0), {}
    for times, run in runs:
        for x in run:
            counts[x.kind] += times
            if x.bytes:
                at = widths.setdefault(x.kind, {})
                at[f"{x.bytes:g}"] = at.get(f"{x.bytes:g}", 0) + times
    busy = units.total(target, runs, kind == "memory")
    own = busy.get(units.MEMORY if kind == "memory" else kind, 0)
    most = max(busy, key=busy.get) if busy else ""
    vectors = counts["fma"] + counts["vector"]
    facts = {"kernel": kernel.name, "kind": kind, "place": place, "counts": counts, "widths": widths, "busy": busy, "own": own,
             "unit": most, "share": 100 * own / busy[most] if most else 0, "work": amount(runs, kind) if kind != "memory" else 0,
             "global": global_bytes(runs), "lanes": max((x.lanes for x in kernel.code), default=1),
             "waits": waits_for_loads(runs), "serial": sum(times * sum(map(cost, run)) for times, run in runs),
             "text": [[times, [x.text for x in run]] for times, run in runs]}
    if kind == "matrix":
        facts["others"] = (sum(counts.values()) - counts["matrix"]) / counts["matrix"] if counts["matrix"] else 0
    if kind == "fma":
        facts["fma"] = 100 * counts["fma"] / vectors if vectors else 0
    return facts


MODULES = [assembly, flow, units]


def one(arguments, target, program):
    """(target, program's name, [facts], what is wrong, seconds), from the cache if nothing changed."""
    began = compilation.processor_seconds()
    _, name, takes, wrong, _, code = compilation.compiled(arguments, target, program)
    if wrong:
        return target, name, [], wrong, compilation.processor_seconds() - began
    own = [facts_of, product_runs, memory_runs, waits_for_loads, disassemble, is_product]
    parts = [*map(compilation.source_of, MODULES), *map(compilation.source_of, own), str(PRODUCTS), target]
    key = hashlib.sha256(code + "\0".join(parts).encode()).hexdigest()
    path = os.path.join(arguments.work, "kept", key + ".loops.json")
    if os.path.exists(path):
        with open(path) as f:
            return target, name, json.load(f), None, 0.0
    try:
        kernels = [k for k in disassemble(arguments, target, gzip.decompress(code)) if compilation.is_hot(k.name)]
        found = [dict(facts_of(target, k), takes=takes.get(k.name, {})) for k in kernels]
    except (compilation.Broken, OSError) as error:
        return target, name, [], str(error), compilation.processor_seconds() - began
    missing = [k for k in takes if compilation.is_hot(k) and k not in {f["kernel"] for f in found}]
    if missing:
        return target, name, [], "no assembly of " + " ".join(missing), compilation.processor_seconds() - began
    compilation.keep(path, json.dumps(found).encode())
    return target, name, found, None, compilation.processor_seconds() - began


# ---- AMD's loops in llvm-mca ----

ROUNDS = (8, 24)  # the difference leaves out the beginning
MOST = 120  # seconds of processor time: llvm-mca 19 does not end for some schedules


def limit_time():
    resource.setrlimit(resource.RLIMIT_CPU, (MOST, MOST))


def mca_cycles(program, target, texts):
    """Cycles of one round of each list of instructions, for one wave."""
    ends = []
    # llvm-mca does not see a mark in the first line, nor one right after a branch
    text = ".text\n"
    for i, code in enumerate(texts):
        text += "\n".join([f"; LLVM-MCA-BEGIN r{i}", *code, ".text", f"; LLVM-MCA-END r{i}\n"])
    for rounds in ROUNDS:
        command = [program, "-mtriple=amdgcn-amd-amdhsa", f"-mcpu={target}", f"-iterations={rounds}", "-json"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, preexec_fn=limit_time)
        if done.returncode:
            why = done.stderr.strip() or f"ended by signal {-done.returncode}, {MOST} s of processor time are allowed"
            raise compilation.Broken(f"{target}: llvm-mca: {why}")
        regions = json.loads(done.stdout)["CodeRegions"]
        ends.append([r["SummaryView"]["TotalCycles"] for r in regions])
    return [(b - a) / (ROUNDS[1] - ROUNDS[0]) for a, b in zip(*ends)]


def add_waves(arguments, target, found):
    """Adds "cycles" and "wave": what llvm-mca says of one wave alone."""
    for facts in found:
        if facts["kind"] == "memory":
            continue
        if target == "gfx90a" and facts["kind"] == "matrix":
            continue  # llvm-mca 19 does not end where a matrix instruction waits for local memory on gfx90a
        runs = facts["text"]
        texts = [[t for t in run if not t.startswith("s_endpgm")] for _, run in runs]
        key = hashlib.sha256(json.dumps([texts, target, ROUNDS, arguments.mca_version]).encode()).hexdigest()
        path = os.path.join(arguments.work, "kept", key + ".mca.json")
        if os.path.exists(path):
            with open(path) as f:
                cycles = json.load(f)
        else:
            try:
                cycles = mca_cycles(arguments.mca, target, texts)
            except compilation.Broken as error:  # the measure is then missing, which is below any floor
                print(error, file=sys.stderr)
                continue
            compilation.keep(path, json.dumps(cycles).encode())
        # a cycle of llvm-mca issues one instruction of a wave
        own = facts["own"] / units.TARGETS[target].issue
        facts["cycles"] = max(own, sum(times * c for (times, _), c in zip(runs, cycles)))
        facts["wave"] = 100 * own / facts["cycles"]
    return found


# ---- the whole ----


def find_tools(arguments):
    arguments.mca = arguments.mca or next(iter(sorted(glob.glob("/usr/bin/llvm-mca-[0-9]*"), reverse=True)), None)
    arguments.nvdisasm = arguments.nvdisasm or shutil.which("nvdisasm")
    arguments.mca_version = arguments.mca and tool([arguments.mca, "--version"])


def missing_tool(arguments, target):
    if target in compilation.NVIDIA and not arguments.nvdisasm:
        return "no nvdisasm"
    if target in compilation.AMD and not arguments.mca:
        return "no llvm-mca"
    return None


def wanted(arguments, program):
    return fnmatch.fnmatch(program["name"], arguments.program or "*")


def measure(arguments, targets, named=None):
    """{target: why it is missing}, [(target, program's name, [facts], what is wrong, seconds)]; of all programs, or of those for which
    named(target, name) holds."""
    programs = [p for p in compilation.read_programs(arguments.programs) if wanted(arguments, p)]
    missing = {}
    for target in targets:
        try:
            compilation.compiler_of(target, arguments)
            why = missing_tool(arguments, target)
        except compilation.Missing as error:
            why = str(error)
        if why:
            missing[target] = why
    present = [t for t in targets if t not in missing]
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(one, arguments, t, p) for t in present for p in programs
                if compilation.serves(p, t) and (named is None or named(t, p["name"]))]
        results = [job.result() for job in jobs]
    order = {p["name"]: i for i, p in enumerate(programs)}
    results.sort(key=lambda result: order[result[1]])
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(add_waves, arguments, r[0], r[2]) for r in results if r[0] in compilation.AMD]
        [job.result() for job in jobs]
    if arguments.kernel:
        results = [(t, p, [f for f in found if fnmatch.fnmatch(f["kernel"], arguments.kernel)], w, s)
                   for t, p, found, w, s in results]
    return missing, results


def show(arguments, results):
    print(loops_page.HEAD)
    for target, program, found, wrong, _ in results:
        if wrong:
            print(f"{target}: {program}: {wrong}", file=sys.stderr)
        for facts in found:
            print(loops_page.row(target, program, facts))
            for times, run in facts["text"] if arguments.show else []:
                print(f"    {times:g} times:", *run, sep="\n        ")


def judge(floors, target, results, say):
    passed = failed = 0
    for _, program, found, wrong, _ in results:
        if wrong:
            failed += 1
            say(f"{target}: {program}: {wrong}")
        for facts in found:
            below = floors.broken(target, program, facts)
            failed, passed = failed + bool(below), passed + (not below)
            for text in below:
                say(f"{target}: {program}: {facts['kernel']}: {text}")
    return passed, failed


def arguments_of(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("work")
    for name in ("nvrtc", "ocloc", "nvdisasm", "mca", "floors", "write", "program", "kernel"):
        parser.add_argument("--" + name)
    parser.add_argument("--raise", action="store_true", dest="rewrite")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("targets", nargs="*", default=[])
    arguments = parser.parse_intermixed_args(argv)
    for target in arguments.targets:
        if target not in compilation.TARGETS:
            parser.error(f"no target {target}; there are {' '.join(compilation.TARGETS)}")
    return arguments


def main():
    arguments = arguments_of(sys.argv[1:])
    os.makedirs(os.path.join(arguments.work, "kept"), exist_ok=True)
    find_tools(arguments)
    floors = Floors(arguments.floors)
    partly = arguments.program or arguments.kernel
    everything = partly and not arguments.rewrite
    tested = [target for target in compilation.TARGETS if everything or arguments.rewrite or floors.has(target)]
    targets = arguments.targets or tested
    missing, results = measure(arguments, targets, None if everything else floors.reads)
    if partly:
        show(arguments, results)
    if arguments.rewrite:
        floors.rewrite(results, partly)
    if partly:
        return 0
    if arguments.write:
        loops_page.write(arguments, results, missing)
    any_failed = False
    for target in targets:
        if target not in missing and not floors.has(target):
            missing[target] = "no floors are written for it yet: scripts/loops.sh --raise"
        if target in missing:
            print(target, 0, 0, 1, 0, missing[target], sep="\t")
            continue
        of = [r for r in results if r[0] == target]
        passed, failed = judge(floors, target, of, lambda text: print(text, file=sys.stderr))
        any_failed = any_failed or failed
        print(target, passed, failed, 0, round(sum(r[4] for r in of)), "", sep="\t")
    return 1 if any_failed else 0


if __name__ == "__main__":
    sys.exit(main())
