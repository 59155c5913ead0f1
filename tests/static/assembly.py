"""Reads kernels from three dialects of assembly: AMD's as clang writes it, NVIDIA's SASS as nvdisasm writes it, Intel's as
ocloc writes it. Every instruction gets a class:

  matrix        a product on matrix units; `work` is its multiply-adds per hardware thread
  fma           a float32 or float16 multiply-add; `work` is how many a lane does (2: packed or dual issue)
  vector        any other instruction over lanes; `slow`: a transcendental function
  scalar        once per hardware thread: addresses, counters, loads of constants
  load, store   global memory; `bytes` per lane
  local load, local store   memory of the work-group; `bytes` per lane
  scratch       private memory outside registers
  wait          waits, barriers, hints
  branch        jumps, the end; `jump`: labels, `falls`: whether the next instruction may run after it
"""

import re
from collections import namedtuple

CLASSES = ["matrix", "fma", "vector", "scalar", "load", "store", "local load", "local store", "scratch", "wait", "branch"]

Instruction = namedtuple("Instruction", "text op kind lanes bytes work slow jump falls")
Kernel = namedtuple("Kernel", "name code labels")  # labels: of a label, the index of the instruction after it


def instruction(text, op, kind, lanes, bytes=0, work=0, slow=False, jump=(), falls=True):
    return Instruction(text, op, kind, lanes, bytes, work, slow, tuple(jump), falls)


def kernels_of(lines, is_kernel, label_of, read):
    """The kernels of a text. `is_kernel(line)`: the name of the kernel that begins, "" where one ends, else None."""
    kernels, kernel = [], None
    for line in lines:
        name = is_kernel(line)
        if name is not None:
            kernel = Kernel(name, [], {}) if name else None
            kernels += [kernel] if kernel else []
            continue
        if kernel is None:
            continue
        label = label_of(line)
        if label:
            kernel.labels[label] = len(kernel.code)
        found = read(line)
        if found:
            kernel.code.append(found)
    return [k for k in kernels if k.code]


# ---- AMD ----

AMD_WIDTHS = [("x4", 16), ("x3", 12), ("x2", 8), ("dword", 4), ("short", 2), ("byte", 1)]
AMD_FMA = re.compile(r"v_(?:dual_)?(?:pk_)?(?:fma|fmac|mac|mad|fmaak|fmamk)_(?:f32|f16|legacy|mix)|v_dot2")
AMD_SLOW = re.compile(r"v_(?:exp|log|rcp|rsq|sqrt|sin|cos)_")
AMD_MATRIX = re.compile(r"v_(?:mfma|smfmac|wmma|swmmac)_\w*?(\d+)x(\d+)x(\d+)_?(?:(\d+)b)?")
AMD_WAIT = re.compile(r"s_(?:waitcnt|wait_|barrier|nop|delay_alu|clause|sleep|setprio)")


def amd_bytes(op):
    """Per lane: global_load_dwordx4, buffer_load_b128, ds_read2st64_b32, ds_load_2addr_b64, ds_read_u16_d16."""
    sizes = re.findall(r"[bui](\d+)", op.replace("_d16", ""))
    if sizes:
        bytes = int(sizes[-1]) // 8
    else:
        bytes = next((b for name, b in AMD_WIDTHS if name in op), 4)
    return bytes * (2 if re.match(r"ds_\w*(?:read|write|load|store)_?2", op) else 1)


def amd_instruction(text, lanes):
    op = text.split()[0]
    if op.startswith(("s_branch", "s_cbranch", "s_endpgm", "s_setpc", "s_swappc")):
        jump = re.findall(r"\.LBB\w+", text)
        return instruction(text, op, "branch", 1, jump=jump, falls=op.startswith(("s_cbranch", "s_swappc")))
    if op.startswith("s_"):
        return instruction(text, op, "wait" if AMD_WAIT.match(op) else "scalar", 1)
    if found := AMD_MATRIX.match(op):
        m, n, k, blocks = (int(x or 1) for x in found.groups())
        return instruction(text, op, "matrix", lanes, work=m * n * k * blocks)
    if op.startswith("v_"):
        halves = text.split("::")
        fma = sum(bool(AMD_FMA.match(h.strip())) for h in halves) * (2 if op.startswith("v_pk_") else 1)
        slow = any(AMD_SLOW.match(h.strip()) for h in halves)
        return instruction(text, op, "fma" if fma else "vector", lanes, work=fma, slow=slow)
    if op.startswith("scratch_"):
        return instruction(text, op, "scratch", lanes, bytes=amd_bytes(op))
    if op.startswith("ds_"):
        kind = "local load" if re.search(r"read|load|permute|swizzle", op) else "local store"
        return instruction(text, op, kind, lanes, bytes=amd_bytes(op))
    if op.startswith(("global_", "flat_", "buffer_")) and re.search("load|store|atomic", op):
        return instruction(text, op, "load" if "load" in op else "store", lanes, bytes=amd_bytes(op))
    return instruction(text, op, "wait", 1)  # cache control: buffer_gl0_inv, buffer_wbl2


def amd_kernels(text):
    lanes = 32 if re.search(r'amdgcn[^"\n]*gfx1', text) else 64
    # kernels alone have a descriptor; other functions are inlined
    names = set(re.findall(r"^\s*\.amdhsa_kernel (\w+)", text, re.M))

    def is_kernel(line):
        if found := re.match(r"(\w+):", line):
            return found[1] if found[1] in names else None
        return "" if line.startswith(".Lfunc_end") else None

    def label_of(line):
        found = re.match(r"(\.LBB\w+):", line)
        return found and found[1]

    def read(line):
        code = line.split(";")[0].strip()
        return amd_instruction(code, lanes) if re.match(r"[a-z]+_", code) else None

    return kernels_of(text.splitlines(), is_kernel, label_of, read)


# ---- NVIDIA ----

SASS_SCALAR = re.compile(r"U[A-Z]|R2UR|S2UR|LDCU|PLOP3|VOTEU")
SASS_WAIT = re.compile(r"BAR|DEPBAR|LDGDEPBAR|NOP|ERRBAR|MEMBAR|SYNCS|YIELD|CCTL|FENCE|ACQBULK|NANOSLEEP|WARPSYNC|ARRIVES")
SASS_BRANCH = re.compile(r"(?:BRA|BRX|JMP|CALL|RET|EXIT|BSSY|BSYNC|BREAK|KILL|BPT|RPCMOV)\b")
SASS_MATRIX = re.compile(r"(?:HMMA|IMMA|QMMA|OMMA)\.(\d+)")
SASS_SHAPES = {"16816": 2048, "1688": 1024, "16832": 4096, "884": 256}
SASS_LOCAL = {"LDS": "local load", "LDSM": "local load", "STS": "local store", "STSM": "local store", "ATOMS": "local store"}
SASS_GLOBAL = {"LDG": "load", "LD": "load", "STG": "store", "ST": "store", "ATOMG": "store", "ATOM": "store", "RED": "store"}
SASS_GLOBAL |= {"REDG": "store", "LDGSTS": "load"}
SASS_FMA = {"FFMA": 1, "FFMA2": 2, "HFMA2": 2}


def sass_bytes(parts):
    if parts[0] in ("LDSM", "STSM"):
        return 4 * int(parts[-1]) if parts[-1].isdigit() else 4
    for part in parts[1:]:
        if part in ("64", "128", "256"):
            return int(part) // 8
        if part in ("U16", "S16", "16"):
            return 2
        if part in ("U8", "S8", "8"):
            return 1
    return 4


def sass_instruction(text):
    guard, text = re.match(r"(@!?U?P\w+\s+)?(.*)", text).groups()
    op = text.split()[0]
    parts = op.split(".")
    name = parts[0]
    if (guard or "").strip() == "@!PT":  # never runs
        return instruction(text, op, "wait", 1)
    if SASS_BRANCH.match(name):
        # the branch's own condition may be an operand: BRA P1, `(.L_x_3)
        conditional = bool(guard) or bool(re.match(r"\S+\s+!?U?P\d", text))
        jump = re.findall(r"`\((\.L\w+)\)", text) if name in ("BRA", "JMP") else []
        falls = conditional or name not in ("BRA", "BRX", "JMP", "RET", "EXIT", "KILL")
        return instruction(text, op, "branch", 1, jump=jump, falls=falls)
    if found := SASS_MATRIX.match(op):
        return instruction(text, op, "matrix", 32, work=SASS_SHAPES.get(found[1], 2048))
    if name in SASS_LOCAL:
        return instruction(text, op, SASS_LOCAL[name], 32, bytes=sass_bytes(parts))
    if name in SASS_GLOBAL:
        return instruction(text, op, SASS_GLOBAL[name], 32, bytes=sass_bytes(parts))
    if name in ("LDL", "STL"):
        return instruction(text, op, "scratch", 32, bytes=sass_bytes(parts))
    if SASS_WAIT.match(name):
        return instruction(text, op, "wait", 1)
    if SASS_SCALAR.match(name) or name == "LDC" and "UR" in text.split(",")[0]:
        return instruction(text, op, "scalar", 1)
    # HFMA2 with a constant and RZ moves an immediate number
    if name in SASS_FMA and not re.search(r"HFMA2\S* R\d+, -RZ, RZ", text):
        return instruction(text, op, "fma", 32, work=SASS_FMA[name])
    return instruction(text, op, "vector", 32, slow=name == "MUFU")


def nvidia_kernels(text):
    def is_kernel(line):
        if found := re.match(r"\.text\.(\w+):", line):
            return found[1]
        return "" if line.startswith("//-----") else None

    def label_of(line):
        found = re.match(r"(\.L\w+):", line)
        return found and found[1]

    def read(line):
        found = re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line)
        return sass_instruction(found[1]) if found else None

    return kernels_of(text.splitlines(), is_kernel, label_of, read)


# ---- Intel ----

INTEL_BRANCH = {"jmpi", "while", "goto", "join", "brd", "brc", "if", "else", "endif", "break", "cont", "call", "calla", "ret", "halt"}
INTEL_LINE = re.compile(r"\s*(?:\(([^)]*)\))?\s*([a-z]\w*(?:\.[\w.]+)?)\s*(?:\((\d+)\|M\d+\))?\s*(.*)")
INTEL_LSC = re.compile(r"\b(load|store|atomic)\w*\.(\w+)\.d(\d+)(?:u\d+)?(?:h\d+)?(?:x(\d+))?(t?)")
INTEL_SURFACE = re.compile(r"(read|write)\w* with ([xyzw]+)|(read|write) (\d+)b(?: x(\d+))?|([oh]word)\D*block (read|write) x(\d+)")


def intel_memory(text, op, lanes, simd):
    """A load or store, by the description of its message: "load.ugm.d32x2.a64", or the older "untyped surface read with xy"."""
    if "fence" in text or "gtwy" in op or ".ts" in op:
        return instruction(text, op, "wait", 1, falls="EOT" not in text)
    if found := INTEL_LSC.search(text):
        way, place, block = found[1], found[2], bool(found[5])
        bytes = int(found[3]) // 8 * int(found[4] or 1)
    else:
        found = INTEL_SURFACE.search(text)
        # surface 254 is local memory
        place = "slm" if re.search(r"0x[0-9A-F]{6}FE\b", text) and "a64" not in text else "ugm"
        way, block = ("store" if "write" in text else "load"), bool(found and found[6])
        if block:
            bytes = {"oword": 16, "hword": 32}[found[6]] * int(found[8])
        elif found:
            bytes = 4 * len(found[2]) if found[2] else int(found[4]) // 8 * int(found[5] or 1)
        else:
            bytes = 4
    if block:  # one access for the whole thread
        bytes, lanes = bytes / simd, simd
    kind = "scratch" if "scratch" in text else ("local " if "slm" in place else "") + ("load" if way == "load" else "store")
    return instruction(text, op, kind, lanes, bytes=bytes)


def intel_instruction(line, simd):
    comment = line.partition("//")[2]
    code = line.partition("//")[0].rstrip()
    found = INTEL_LINE.match(code)
    if not found:
        return None
    guard, op, lanes, rest = found[1] or "", found[2], int(found[3] or 1), found[4]
    text, name = code.strip(), op.split(".")[0]
    if name in INTEL_BRANCH:
        conditional = "f" in guard or name not in ("jmpi", "goto", "ret")
        jump = re.findall(r"\b(L\d+\w*|_\w+)\b", rest)
        return instruction(text, op, "branch", 1, jump=jump, falls=conditional)
    if name in ("sync", "nop", "wait", "illegal"):
        return instruction(text, op, "wait", 1)
    if name in ("dpas", "dpasw"):
        depth, repeat = (int(x) for x in op.split(".")[1].split("x"))
        return instruction(text, op, "matrix", lanes, work=depth * repeat * lanes * 2)
    if name.startswith(("send", "load", "store", "atomic")):
        return intel_memory(f"{text} //{comment}", op, lanes, simd)
    type_of = re.search(r":(\w+)", rest)
    if name in ("mad", "mac") and type_of and type_of[1] in ("f", "hf", "bf"):
        return instruction(text, op, "fma", lanes, work=1)
    if lanes == 1:
        return instruction(text, op, "scalar", 1)
    return instruction(text, op, "vector", lanes, slow=name == "math")


def intel_kernels(text, simd=None):
    """A text in which "KERNEL name lanes" precedes each kernel: ocloc writes a file for each."""
    state = {"lanes": simd or 16}

    def is_kernel(line):
        found = re.match(r"KERNEL (\w+) (\d+)", line)
        if found:
            state["lanes"] = int(found[2])
        return found and found[1]

    def label_of(line):
        found = re.match(r"\s*(\w+):\s*(?://.*)?$", line)
        return found and found[1]

    def read(line):
        if label_of(line) or not line.strip() or line.lstrip().startswith(("//", ".")):
            return None
        return intel_instruction(line, state["lanes"])

    return kernels_of(text.splitlines(), is_kernel, label_of, read)
