"""Post-trains CLIP and SigLIP vision encoders with GenHancer's method, on any OpenCL or CUDA device.

    import genhance
    rows = genhance.encode("models/clip", images=["cat.jpg", array])   # (2, D) float32
    report = genhance.train("run.json", callback=lambda p: print(p.update, p.loss))
    report.export("encoder")

A thin layer over the C library (docs/library.md), which has the same functions. Arrays are NumPy's; pictures are uint8
of shape (height, width, 3).
"""
from __future__ import annotations

from ._encoder import Device, Encoder, Score, devices, encode, score
from ._library import Error, Stopped, lib as _lib
from ._training import Progress, Report, Stage, export, plan, train

__version__: str = _lib.genhance_version().decode()
__all__ = [
    "Device", "Encoder", "Error", "Progress", "Report", "Score", "Stage", "Stopped", "devices", "encode", "export",
    "plan", "score", "set_verbosity", "train"
]


def set_verbosity(level: int) -> None:
    """What the library logs on standard error: 0 nothing, 1 warnings (the default here), 2 progress, 3 details."""
    _lib.genhance_set_verbosity(level)


set_verbosity(1)
