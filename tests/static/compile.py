"""Compiles every device program for absent devices with each vendor's own compiler, and reads from the
result the kernels' resources: registers, local memory, private memory that is not in registers, spilled registers.

usage: compile.py PROGRAMS WORK [--nvrtc LIBRARY] [--ocloc PROGRAM] [--write FILE] [--program PATTERN]
                  [--jobs N] [TARGET ...]

PROGRAMS is the output of tests/static/programs.c; WORK caches results, and the code for loops.py, by the hash of all
inputs. Prints one line
per target, "TARGET<tab>passed<tab>failed<tab>skipped<tab>seconds<tab>why skipped", and failures on stderr. A test is
a kernel of a program on a target; it fails if the program does not compile without warnings, or if the kernel is hot
and spills or keeps arrays outside registers. Nothing but Python's standard library is needed.
"""

import argparse
import concurrent.futures
import ctypes
import fnmatch
import functools
import glob
import gzip
import hashlib
import inspect
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

# Kernels in which a spilled register is a failure, and why they matter. The others run once per step, or on little data.
HOT = {
    "gemm_*": "nearly all multiplications of a step",
    "attention_*": "the remaining multiplications",
    "conv2d_*": "the autoencoder's convolutions",
    "layernorm_*": "limited by memory traffic, which spills increase",
    "rmsnorm_*": "the same",
    "groupnorm_*": "the same",
    "gated_add_*": "the same",
    "activation_*": "the same",
    "add_*": "the same",
    "rope_*": "the same",
    "multiply_*": "the same",
    "column_*": "the same",
    "dropout_*": "the same",
    "cross_entropy_*": "the same",
    "mse_loss_*": "the same",
    "adamw_*": "the same, over all parameters",
    "square_sum_*": "the same, over all gradients",
}

# The host requests correctly rounded division and square roots if a device supports them
# (CL_FP_CORRECTLY_ROUNDED_...); these compilations do the same.
ROUNDED = "-cl-fp32-correctly-rounded-divide-sqrt"

NVIDIA = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
AMD = ["gfx90a", "gfx942", "gfx1030", "gfx1100"]
INTEL = ["dg2", "pvc"]
TARGETS = NVIDIA + AMD + INTEL
# What the OpenCL backend defines for these devices (src/backend/opencl/matrix.c); CUDA's define comes with the program.
SUB_GROUPS = {**dict.fromkeys(AMD, 32), "dg2": 8, "pvc": 16}
# cl/gemm_matrix_units.h: only its own devices' compilers know a unit's instruction.
UNITS = {
    "-DUNIT_MMA": [t for t in NVIDIA if t != "sm_75"],
    "-DUNIT_MFMA": ["gfx90a", "gfx942"],
    "-DUNIT_WMMA": ["gfx1100"],
    "-DUNIT_DPAS16": ["pvc"],
    "-DUNIT_DPAS8": ["dg2"],
}


class Missing(Exception):
    """A compiler that is not on this machine."""


class Broken(Exception):
    """A program that a compiler rejects, or warns about."""


def is_hot(kernel):
    return any(fnmatch.fnmatch(kernel, pattern) for pattern in HOT)


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    return done.returncode, done.stdout


def elf_sections(binary):
    """The sections of a 64-bit little-endian ELF file: a list of (name, type, link, bytes)."""
    (at,) = struct.unpack_from("<Q", binary, 0x28)
    size, count, names = struct.unpack_from("<HHH", binary, 0x3A)
    heads = [struct.unpack_from("<IIQQQQII", binary, at + i * size) for i in range(count)]
    text = lambda h: binary[h[4] : h[4] + h[5]] if h[1] != 8 else b""
    strings = text(heads[names])
    name = lambda offset: strings[offset : strings.index(b"\0", offset)].decode()
    return [(name(h[0]), h[1], h[6], text(h)) for h in heads]


# ---- NVIDIA: NVRTC, a library ----

# Where two architectures have the same PTX, NVRTC makes it once, which is two thirds of the time; ptxas of the same toolkit
# then makes each one's code. same_code() checks that this is what NVRTC would have made.
PTX_OF = {"sm_80": 80, "sm_86": 80, "sm_89": 80, "sm_90": 80, "sm_100": 100, "sm_120": 100}


class Nvrtc:
    def __init__(self, path, work):
        try:
            # a wheel's NVRTC only finds its builtins library if that is already loaded
            for half in glob.glob(os.path.join(os.path.dirname(path), "libnvrtc-builtins.so.*")):
                ctypes.CDLL(half)
            self.library = ctypes.CDLL(path)
        except (OSError, TypeError) as error:
            raise Missing(f"no NVRTC: {error}")
        count, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        archs = (ctypes.c_int * count.value)()
        self.library.nvrtcGetSupportedArchs(archs)
        self.archs, self.version = list(archs), f"NVRTC {major.value}.{minor.value}"
        self.work = work
        self.ptxas = os.path.join(os.path.dirname(os.path.dirname(path)), "bin", "ptxas")
        if not os.path.exists(self.ptxas) or f" V{major.value}.{minor.value}." not in run([self.ptxas, "--version"])[1]:
            self.ptxas = None  # a wheel has NVRTC alone

    def output(self, program, what):
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value + 1)
        getattr(self.library, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw[: size.value]

    def build(self, name, text, options, what):
        """The log, and the CUBIN or PTX."""
        program = ctypes.c_void_p()
        self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        code = self.library.nvrtcCompileProgram(program, len(options), array)
        log = self.output(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        made = b"" if code else self.output(program, what)
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        nvidia_judge(log, code)
        return log, made

    def compile(self, target, name, text, options):
        if self.ptxas and target in PTX_OF:
            return self.assemble(target, self.ptx(PTX_OF[target], name, text, options))
        log, cubin = self.build(name, text, [f"--gpu-architecture={target}", "--ptxas-options=-v", *options], "CUBIN")
        return nvidia_kernels(log), cubin

    def ptx(self, number, name, text, options):
        options = [f"--gpu-architecture=compute_{number}", *options]
        key = hashlib.sha256("\0".join([self.version, name, text, *options]).encode()).hexdigest()
        path = os.path.join(self.work, "kept", key + ".ptx")
        if os.path.exists(path):
            with open(path, "rb") as f:
                return gzip.decompress(f.read())
        ptx = self.build(name, text, options, "PTX")[1].rstrip(b"\0")
        keep(path, gzip.compress(ptx, mtime=0))
        return ptx

    def assemble(self, target, ptx):
        with tempfile.TemporaryDirectory() as folder:
            source, out = os.path.join(folder, "in.ptx"), os.path.join(folder, "out.cubin")
            with open(source, "wb") as f:
                f.write(ptx)
            code, log = run([self.ptxas, f"--gpu-name={target}", "-v", source, "-o", out])
            nvidia_judge(log, code)
            with open(out, "rb") as f:
                return nvidia_kernels(log), f.read()

    def same_code(self, target, name, text, options):
        """Whether NVRTC makes the same code for the target by itself."""
        whole = self.build(name, text, [f"--gpu-architecture={target}", *options], "CUBIN")[1]
        parts = [{s[0]: s[3] for s in elf_sections(c) if s[0].startswith(".text")}
                 for c in (whole, self.compile(target, name, text, options)[1])]
        return parts[0] == parts[1] and bool(parts[0])


def nvidia_judge(log, code):
    known = re.compile(r"ptxas info |ptxas +\. | +\d+ bytes stack frame")
    lines = [line for line in log.splitlines() if line.strip() and not known.match(line)]
    if code or lines:
        raise Broken("\n".join(lines) or f"NVIDIA's compiler ended with {code}")


def nvidia_kernels(log):
    kernels, of = {}, None
    for line in log.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)'", line):
            of = kernels[found[1]] = {"registers": 0, "local": 0, "scratch": 0, "spill": 0}
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            of["spill"] = int(found[2]) + int(found[3])
            of["scratch"] = int(found[1])
        elif found := re.search(r"Used (\d+) registers", line):
            of["registers"] = int(found[1])
            shared = re.search(r"(\d+) bytes smem", line)
            of["local"] = int(shared[1]) if shared else 0
    return kernels


# ---- AMD: clang ----


class Clang:
    """Debian's newest clang, version 15 or newer: older ones do not know these devices or do not report the resources of
    their code."""

    FOLDERS = ["/usr/lib/x86_64-linux-gnu/amdgcn/bitcode", "/opt/rocm/amdgcn/bitcode"]

    def __init__(self, work):
        found = {int(re.search(r"\d+$", p)[0]): p for p in glob.glob("/usr/bin/clang-[0-9]*")}
        if not found or max(found) < 15:
            raise Missing("no clang of version 15 or newer")
        libraries = next((f for f in self.FOLDERS if os.path.exists(f + "/opencl.bc")), None)
        if not libraries:
            raise Missing("no rocm-device-libs")
        self.number = max(found)
        self.clang = found[self.number]
        self.version = run([self.clang, "--version"])[1].splitlines()[0]
        self.libraries = self.complete(libraries, os.path.join(work, "amd-libraries"))

    def complete(self, libraries, folder):
        """Debian's libraries lack the device-selecting files, one constant each, of the newest devices."""
        os.makedirs(folder, exist_ok=True)
        for path in glob.glob(libraries + "/*.bc"):
            link = os.path.join(folder, os.path.basename(path))
            if not os.path.lexists(link):
                os.symlink(path, link)
        for name, number in {"942": 9402, "1100": 11000}.items():
            path = os.path.join(folder, f"oclc_isa_version_{name}.bc")
            if os.path.lexists(path):
                continue
            source = f"const __constant int __oclc_ISA_version = {number};\n"
            command = [self.clang, "-x", "cl", "-cl-std=CL1.2", "-target", "amdgcn-amd-amdhsa", "-nogpulib"]
            code, log = run([*command, "-emit-llvm", "-c", "-", "-o", path], input=source)
            if code:
                raise Missing(f"{self.clang} cannot make the device library: {log}")
        return folder

    def compile(self, target, name, text, options):
        if target == "gfx942" and self.number < 17:
            raise Missing("gfx942 needs clang 17 or newer")
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.s")
            command = [self.clang, "-x", "cl", "-target", "amdgcn-amd-amdhsa", f"-mcpu={target}", "-O3", ROUNDED]
            command += [f"--rocm-device-lib-path={self.libraries}", "-Rpass-analysis=kernel-resource-usage"]
            command += ["-fno-caret-diagnostics", *options, "-S", "-", "-o", out]
            code, log = run(command, input=text)
            lines = [l for l in log.splitlines() if not re.search(r": remark: |: note: could not determine", l)]
            if code or lines:
                raise Broken("\n".join(lines) or f"clang's status {code}")
            with open(out) as f:
                assembly = f.read()
            undefined = amd_undefined(assembly)
            if undefined:
                raise Broken("calls undefined functions: " + " ".join(undefined))
        kernels = amd_kernels(log)
        for name, takes in kernels.items():
            if not uses_scratch(assembly, name):
                takes["scratch"] = 0
        return kernels, assembly.encode()


def amd_undefined(assembly):
    """The addresses that the code computes of symbols which it does not define."""
    wanted = set(re.findall(r"([\w.$]+)@(?:got)?(?:pc)?rel32@", assembly))
    return sorted(wanted - set(re.findall(r"^([\w.$]+):", assembly, re.M)))


def uses_scratch(assembly, kernel):
    """Whether a kernel reads or writes its private memory. Some only reserve it, for registers that then need no room. Nothing
    else in the kernels becomes a buffer instruction."""
    body = re.search(rf"^{re.escape(kernel)}:[^\n]*$(.*?)^\.Lfunc_end", assembly, re.M | re.S)
    return not body or re.search(r"^\s+(scratch|buffer)_(load|store)_", body[1], re.M) is not None


def amd_kernels(log):
    kernels, of = {}, None
    fields = {
        "VGPRs": "registers",
        "AGPRs": "accumulators",
        "ScratchSize [bytes/lane]": "scratch",
        "VGPRs Spill": "spill",
        "LDS Size [bytes/block]": "local",
    }
    for line in log.splitlines():
        found = re.search(r"remark: +(?:<[^>]*>)?([^:]+): (\w+)", line)
        if not found:
            continue
        if found[1] == "Function Name":
            of = kernels[found[2]] = {"registers": 0, "local": 0, "scratch": 0, "spill": 0}
        elif found[1] in fields:
            of[fields[found[1]]] = int(found[2])
    for of in kernels.values():
        of["registers"] += of.pop("accumulators", 0)
    return kernels


# ---- Intel: ocloc ----


class Ocloc:
    def __init__(self, path):
        self.ocloc = path or shutil.which("ocloc")
        if not self.ocloc or not os.path.exists(self.ocloc):
            raise Missing("no ocloc (of intel-opencl-icd)")
        self.environment = dict(os.environ)
        beside = os.path.join(os.path.dirname(os.path.dirname(self.ocloc)), "lib/x86_64-linux-gnu")
        if path and os.path.isdir(beside):
            self.environment["LD_LIBRARY_PATH"] = beside
        code, version = run(["dpkg-query", "-W", "-f", "${Version}", "libigc1"])
        self.version = "ocloc with IGC " + ("of unknown version" if code else version)

    def compile(self, target, name, text, options):
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "in.cl")
            with open(source, "w") as f:
                f.write(text)
            command = [self.ocloc, "compile", "-file", source, "-device", target, "--format", "zebin"]
            command += ["-output", "out", "-out_dir", folder, "-options", " ".join([*options, ROUNDED])]
            code, log = run(command, env=self.environment)
            lines = [l for l in log.splitlines() if not re.search(r"^Build succeeded|^\s*$|spilled around", l)]
            made = glob.glob(os.path.join(folder, "out*.bin"))
            if code or lines or not made:
                raise Broken("\n".join(lines) or f"ocloc's status {code}")
            with open(made[0], "rb") as f:
                binary = f.read()
        return intel_kernels(intel_facts(binary)), binary


def intel_facts(binary):
    return next(s[3] for s in elf_sections(binary) if s[0] == ".ze_info").decode()


def intel_kernels(facts):
    """From a zebin's description, a simple subset of YAML. Registers are 32 bytes (64 on pvc), a
    kernel has 128 or 256; the number of work-items that share a thread's registers says more."""
    kernels, of, space = {}, None, None
    for line in facts.split("kernels_misc_info:")[0].splitlines():
        key, _, value = line.strip().lstrip("- ").partition(":")
        value = value.strip()
        if line.startswith("  - name:"):
            of = kernels[value] = {"registers": 0, "local": 0, "scratch": 0, "spill": 0}
            space = None
        elif key in ("grf_count", "simd_size", "slm_size"):
            of[{"grf_count": "registers", "simd_size": "lanes", "slm_size": "local"}[key]] = int(value)
        elif key == "per_thread_memory_buffers":
            space = ""
        elif space is not None and key == "type":
            space = value
        elif space is not None and key == "usage":
            space = "spill" if value == "spill_fill_space" or space == "scratch" else "scratch"
        elif space and key == "size":
            of[space] += int(value)
    kernels.pop("Intel_Symbol_Table_Void_Program", None)
    return kernels


# ---- the whole ----


def nvrtc_path(given):
    candidates = [given] if given else sorted(glob.glob("/usr/local/cuda/lib64/libnvrtc.so"))
    return candidates[0] if candidates else None


@functools.cache  # opening one asks programs for their versions
def compiler_of_kind(kind, *given):
    return kind(*given)


def compiler_of(target, arguments):
    if target in AMD:
        return compiler_of_kind(Clang, arguments.work)
    if target in INTEL:
        return compiler_of_kind(Ocloc, arguments.ocloc)
    compiler = compiler_of_kind(Nvrtc, nvrtc_path(arguments.nvrtc), arguments.work)
    if int(target[3:]) not in compiler.archs:
        raise Missing(f"{compiler.version} does not compile for {target}")
    return compiler


def keep(path, data):
    """Threads that find the same loop in two kernels may keep it at the same time."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), prefix=os.path.basename(path) + ".", delete=False) as f:
        f.write(data)
    os.replace(f.name, path)


def processor_seconds():
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


source_of = functools.cache(inspect.getsource)  # reads the whole file at each call


def options_of(target, program):
    if target in NVIDIA:
        return program["cuda"].split() + program["defines"].split()
    return [*program["opencl"].split(), f"-DSUB_GROUP={SUB_GROUPS[target]}", *program["defines"].split()]


def compiled(arguments, target, program):
    """(target, program's name, kernels or None, what is wrong, processor seconds, compressed code: SASS, AMD's assembly or Intel's
    binary); from cached results if nothing changed."""
    began = processor_seconds()
    options = options_of(target, program)
    compiler = compiler_of(target, arguments)
    readers = [nvidia_judge, nvidia_kernels, amd_kernels, amd_undefined, intel_kernels, elf_sections, type(compiler)]
    parts = [*map(source_of, readers), compiler.version, target, program["text"], *options]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    path = os.path.join(arguments.work, "kept", key)
    if os.path.exists(path + ".json"):
        with open(path + ".json") as f, open(path + ".code", "rb") as code:
            return target, program["name"], json.load(f), None, 0.0, code.read()
    try:
        kernels, code = compiler.compile(target, program["file"], program["text"], options)
    except Broken as error:
        return target, program["name"], None, str(error), processor_seconds() - began, b""
    code = gzip.compress(code, mtime=0)
    keep(path + ".code", code)
    keep(path + ".json", json.dumps(kernels).encode())
    return target, program["name"], kernels, None, processor_seconds() - began, code


def one(arguments, target, program):
    return compiled(arguments, target, program)[:5]


def same_code(arguments, target, program):
    """As one(), of no kernels."""
    began = processor_seconds()
    compiler, wrong = compiler_of(target, arguments), None
    try:
        same = compiler.same_code(target, program["file"], program["text"], options_of(target, program))
    except Broken:  # which one() says
        same = True
    if not same:
        wrong = f"NVRTC makes other code for {target} than ptxas of compute_{PTX_OF[target]}'s PTX: see PTX_OF"
    return target, program["name"], {}, wrong, processor_seconds() - began


def checked_on(target, programs):
    """The program for which same_code() is asked: a small one, with the matrix units' instructions."""
    return min((p for p in programs if serves(p, target) and "-DUNIT_MMA" in p["defines"]), key=lambda p: len(p["text"]))


def read_programs(folder):
    programs = []
    with open(os.path.join(folder, "programs.tsv")) as f:
        for line in f:
            row = dict(zip(("name", "file", "defines", "opencl", "cuda"), line.rstrip("\n").split("\t")))
            with open(os.path.join(folder, row["file"])) as text:
                row["text"] = text.read()
            programs.append(row)
    return programs


def serves(program, target):
    for option in program["defines"].split():
        if target not in UNITS.get(option, TARGETS):
            return False
    return bool(program["cuda" if target in NVIDIA else "opencl"])


def judge(target, results, say):
    """Passed and failed kernels of a target's results; a program that does not compile counts as one."""
    passed = failed = 0
    for _, program, kernels, wrong, _ in results:
        if wrong:
            failed += 1
            say(f"{target}: {program} does not compile without a warning:\n{wrong}\n")
            continue
        for kernel, takes in kernels.items():
            bad = is_hot(kernel) and (takes["spill"] or takes["scratch"])
            failed, passed = failed + bool(bad), passed + (not bad)
            if bad:
                say(f"{target}: {program}: {kernel} is hot and takes {cell(target, takes)} (see tests/static/compile.py)")
    return passed, failed


# ---- the table ----


def cell(target, takes):
    text = str(takes["registers"])
    if target in INTEL:
        text = f"{takes.get('lanes', 0)}×{takes['registers']}"
    if takes["scratch"] and not (takes["spill"] and target in NVIDIA + AMD):
        text += f" a{takes['scratch']}"
    if takes["spill"]:
        text += f" **s{takes['spill']}**"
    return text


def table(programs, results, versions):
    """One row per kernel and program, one column per target."""
    targets = [t for t in TARGETS if any(r[0] == t for r in results)]
    by = {(r[0], r[1]): r[2] for r in results if r[2] is not None}
    lines = ["| kernel | local memory | " + " | ".join(targets) + " |", "|---" * (len(targets) + 2) + "|"]
    for program in programs:
        found = {t: by.get((t, program["name"])) or {} for t in targets}
        names = sorted(set().union(*found.values()))
        if names:
            lines.append(f"| **{program['name']}** |" + " |" * (len(targets) + 1))
        for name in names:
            takes = {t: found[t].get(name) for t in targets}
            local = max(v["local"] for v in takes.values() if v)
            cells = [cell(t, v) if v else "–" for t, v in takes.items()]
            mark = " (hot)" if is_hot(name) else ""
            lines.append(f"| {name}{mark} | {local or ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(path, programs, results, versions, missing):
    hot = "\n".join(f"- `{pattern}`: {why}" for pattern, why in HOT.items())
    skipped = "".join(f"\n{t}: {why}." for t, why in missing.items())
    with open(path, "w") as f:
        f.write(
            f"""# What each vendor's compiler makes of the kernels

Every program of the GPU shape, compiled with no device in the machine: {", ".join(sorted(set(versions.values())))}.
Written by `scripts/static.sh --write`. `./run-tests` compiles the same programs and fails if a compiler warns or a hot kernel
spills.{skipped}

A cell is the resources of one work-item. NVIDIA (sm) and AMD (gfx): 32-bit registers. Intel (dg2, pvc): work-items per hardware
thread × registers per thread, of 32 bytes (pvc: 64). `a`: bytes of arrays that did not fit into registers. **`s`**: spills, as
bytes stored and loaded on NVIDIA, registers on AMD, bytes on Intel. Local memory: bytes per work-group.

Hot kernels, in which `a` and `s` are errors:

{hot}

{table(programs, results, versions)}
"""
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("work")
    parser.add_argument("--nvrtc")
    parser.add_argument("--ocloc")
    parser.add_argument("--write")
    parser.add_argument("--program", default="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("targets", nargs="*", default=[])
    arguments = parser.parse_intermixed_args()  # targets may come last
    for target in arguments.targets:
        if target not in TARGETS:
            parser.error(f"no target {target}; there are {' '.join(TARGETS)}")
    if arguments.write and arguments.program != "*":
        parser.error("--write needs every program")
    os.makedirs(os.path.join(arguments.work, "kept"), exist_ok=True)
    programs, versions, missing, results = read_programs(arguments.programs), {}, {}, []
    for target in arguments.targets or TARGETS:
        try:
            versions[target] = compiler_of(target, arguments).version
        except Missing as error:
            missing[target] = str(error)
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        # by target: the second one of a kind then finds the PTX of the first
        named = [p for p in programs if fnmatch.fnmatchcase(p["name"], arguments.program)]
        jobs = [pool.submit(one, arguments, t, p) for t in versions for p in named if serves(p, t)]
        if named == programs:
            jobs += [pool.submit(same_code, arguments, t, checked_on(t, programs)) for t in versions if t in PTX_OF]
        results = [job.result() for job in jobs]
    any_failed = False
    for target in arguments.targets or TARGETS:
        if target in missing:
            print(target, 0, 0, 1, 0, missing[target], sep="\t")
            continue
        of = [r for r in results if r[0] == target]
        passed, failed = judge(target, of, lambda text: print(text, file=sys.stderr))
        any_failed = any_failed or failed
        print(target, passed, failed, 0, round(sum(r[4] for r in of)), "", sep="\t")
    if arguments.write:
        write(arguments.write, programs, results, versions, missing)
    return 1 if any_failed else 0


if __name__ == "__main__":
    sys.exit(main())
