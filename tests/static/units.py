"""How long each unit of a target is busy with an instruction: clocks of one SIMD (NVIDIA: a quarter of a multiprocessor; AMD: a
SIMD; Intel: an XVE), if so many hardware threads are ready that only throughput counts. What several SIMDs share (local memory,
caches, device memory) is divided evenly among them.

The numbers are the vendors' published ones; docs/gpu-performance.md names the documents.
"""

from collections import namedtuple

# card      the device that the next three are of
# simds     SIMDs of the device
# clock     GHz: the boost clock of the data sheet
# gbytes    GB/s of device memory
# issue     clocks between two instructions of one kind
# separate  whether vector, scalar and memory instructions of different threads issue in the same clock
# width     lanes of float32 multiply-add per clock
# other     lanes of other vector instructions per clock
# slow      lanes of transcendental functions per clock
# matrix    multiply-adds of the matrix unit per clock, bfloat16 in, float32 sums; 0: none, or none that a kernel uses
# reached   the share of it that the instructions which the kernels use can reach
# local     bytes of local memory per clock
# cache     bytes of the innermost cache per clock
# access    clocks that a load or store takes at least, for its addresses
Target = namedtuple("Target", "card simds clock gbytes issue separate width other slow matrix reached local cache access")

# mma.sync reaches 62 % of the peak of Hopper, which only wgmma reaches: Luo et al., "Benchmarking and Dissecting the Nvidia
# Hopper GPU Architecture via Microbenchmarking" (2024). No such number is published for sm_100: taken as sm_80.
TARGETS = {
    "sm_75": Target("RTX 2080 Ti", 272, 1.545, 616, 1, False, 16, 16, 4, 0, 1, 32, 16, 4),
    "sm_80": Target("A100 80GB", 432, 1.41, 2039, 1, False, 16, 16, 4, 256, 1, 32, 32, 4),
    "sm_86": Target("RTX A6000", 336, 1.8, 768, 1, False, 32, 16, 4, 128, 1, 32, 32, 4),
    "sm_89": Target("L40S", 568, 2.52, 864, 1, False, 32, 16, 4, 128, 1, 32, 32, 4),
    "sm_90": Target("H200", 528, 1.83, 4800, 1, False, 32, 16, 4, 512, 0.62, 32, 32, 4),
    "sm_100": Target("B200", 592, 1.85, 8000, 1, False, 32, 16, 4, 256, 1, 32, 32, 4),
    "sm_120": Target("RTX PRO 6000", 752, 2.6, 1792, 1, False, 32, 16, 4, 128, 1, 32, 32, 4),
    "gfx90a": Target("MI250X, one die", 440, 1.7, 1638, 4, True, 16, 16, 4, 128, 1, 32, 16, 16),
    "gfx942": Target("MI300X", 1216, 2.1, 5300, 4, True, 16, 16, 4, 256, 1, 32, 32, 16),
    "gfx1030": Target("RX 6900 XT", 160, 2.25, 512, 1, True, 32, 32, 8, 0, 1, 64, 64, 2),
    "gfx1100": Target("RX 7900 XTX", 192, 2.5, 960, 1, True, 32, 32, 8, 128, 1, 64, 64, 2),
    "dg2": Target("Arc A770", 512, 2.1, 560, 1, False, 8, 8, 2, 64, 1, 8, 8, 1),
    "pvc": Target("Data Center GPU Max 1550", 1024, 1.6, 3277, 1, False, 16, 16, 4, 256, 1, 64, 64, 1),
}
MEMORY = "device memory"
ON_VECTOR_UNITS = ("gfx1100",)  # WMMA occupies the vector units themselves


FLOAT = ("FADD", "FMUL", "FFMA", "HFMA", "HADD", "HMUL", "IMAD")  # NVIDIA: these share the multiply-adds' unit


def vector_clocks(t, x):
    if x.kind == "fma" or x.op.startswith(FLOAT):
        return x.lanes / t.width * (2 if x.op.startswith("FFMA2") else 1)
    return max(t.issue, x.lanes / (t.slow if x.slow else t.other))


def busy(target, x):
    """{unit: clocks} of an instruction."""
    t = TARGETS[target]
    out = {}
    issued = {"fma": "vector", "vector": "vector", "matrix": "vector", "scalar": "scalar", "branch": "branches"}
    if not t.separate:
        out["issue"] = t.issue
    elif x.kind in issued:
        out[issued[x.kind]] = t.issue
    if x.kind == "matrix":
        out["matrix"] = x.work / t.matrix / t.reached if t.matrix else 0
        if target in ON_VECTOR_UNITS:
            out["vector"] = out["matrix"]
    elif x.kind == "fma":
        out["fma"] = vector_clocks(t, x)
    elif x.kind == "vector" and not x.op.startswith(FLOAT):
        out["vector"] = vector_clocks(t, x)
    elif x.kind in ("local load", "local store"):
        out["local memory"] = max(4, x.bytes) * x.lanes / t.local
    elif x.kind in ("load", "store", "scratch"):
        out["cache"] = max(t.access, x.bytes * x.lanes / t.cache)
        out[MEMORY] = x.bytes * x.lanes * t.simds * t.clock / t.gbytes
    if x.op.startswith(FLOAT):
        out["float"] = vector_clocks(t, x)
    if target in ("dg2", "pvc") and x.kind in ("fma", "vector"):
        out["issue"] = max(out["issue"], vector_clocks(t, x) if not x.slow else x.lanes / t.width)
    return out


def cost(target, x):
    """The length of an instruction where one path of several is chosen: its busiest unit, without device memory."""
    return max((c for unit, c in busy(target, x).items() if unit != MEMORY), default=1)


def total(target, runs, memory):
    """{unit: clocks} of [(times, [instruction])]; `memory`: whether device memory counts."""
    out = {}
    for times, run in runs:
        for x in run:
            for unit, clocks in busy(target, x).items():
                if memory or unit != MEMORY:
                    out[unit] = out.get(unit, 0) + times * clocks
    return out
