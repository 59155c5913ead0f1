"""include/genhance/genhance.h for ctypes: its structs, functions and errors. Nothing here computes."""
from __future__ import annotations

import ctypes as c
import os
import pathlib
from typing import Any


class Error(Exception):
    """A call failed. `status` is the library's name of the kind: "argument", "file", "config", ..."""

    def __init__(self, status: str, text: str):
        super().__init__(text)
        self.status = status


class Stopped(Error):
    """A callback stopped the training; its state is saved, and `resume=True` continues."""


class Sized(c.Structure):
    """A struct that says its size to the library."""

    def __init__(self, **fields: Any):
        super().__init__(struct_size=c.sizeof(type(self)), **fields)


def _fields(*fields: Any) -> list[Any]:
    return [("struct_size", c.c_size_t), *fields]


class DeviceInfo(Sized):
    _fields_ = _fields(("id", c.c_char * 32), ("name", c.c_char * 160), ("platform", c.c_char * 96),
                       ("driver", c.c_char * 128), ("memory_bytes", c.c_int64), ("compute_units", c.c_int),
                       ("is_cpu", c.c_int))


class EncoderOptions(Sized):
    _fields_ = _fields(("adapter", c.c_char_p), ("weights", c.c_char_p), ("batch", c.c_int), ("precision", c.c_int))


class Image(Sized):
    _fields_ = _fields(("rgb", c.c_void_p), ("width", c.c_int), ("height", c.c_int))


class ScoreOptions(Sized):
    _fields_ = _fields(("adapter", c.c_char_p), ("weights", c.c_char_p), ("labels", c.c_char_p),
                       ("classes", c.c_char_p), ("templates", c.c_char_p), ("captions", c.c_char_p),
                       ("batch", c.c_int), ("precision", c.c_int))


class ScoreSummary(Sized):
    _fields_ = _fields(("average", c.c_double), ("images", c.c_size_t), ("lines", c.c_size_t), ("pairs", c.c_size_t),
                       ("classes", c.c_size_t), ("templates", c.c_size_t), ("kind", c.c_int), ("shares", c.c_int))


class Share(Sized):
    _fields_ = _fields(("name", c.c_char_p), ("hits", c.c_int64), ("total", c.c_int64), ("percent", c.c_double),
                       ("low", c.c_double), ("high", c.c_double))


class Progress(Sized):
    _fields_ = _fields(("stage", c.c_int64), ("update", c.c_int64), ("updates", c.c_int64), ("samples", c.c_int64),
                       ("loss", c.c_double), ("gradient_norm", c.c_double), ("learning_rate", c.c_double),
                       ("seconds", c.c_double), ("images_per_second", c.c_double))


ProgressCallback = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Progress))


class TrainOptions(Sized):
    _fields_ = _fields(("progress", ProgressCallback), ("user", c.c_void_p), ("resume", c.c_int), ("replan", c.c_int),
                       ("dry_run", c.c_int), ("allow_data_change", c.c_int), ("print", c.c_int), ("reserved", c.c_int))


class StageReport(Sized):
    _fields_ = _fields(("updates", c.c_int64), ("skipped", c.c_int64), ("first_loss", c.c_double),
                       ("last_loss", c.c_double), ("seconds", c.c_double), ("evaluated", c.c_int),
                       ("within_guard", c.c_int), ("guard_stop", c.c_int64), ("best", c.c_double),
                       ("start", c.c_double), ("score", c.c_char * 64), ("best_snapshot", c.c_char * 32))


class ExportOptions(Sized):
    _fields_ = _fields(("snapshot", c.c_char_p), ("format", c.c_int), ("dtype", c.c_int))


class ExportResult(Sized):
    _fields_ = _fields(("update", c.c_int64), ("tensors", c.c_int64), ("changed", c.c_int64), ("rounded", c.c_int64))


# Of genhance.h; tests/test_python.sh compares sizes and offsets with the compiler's.
STRUCTS = {
    "genhance_device_info": DeviceInfo, "genhance_encoder_options": EncoderOptions, "genhance_image": Image,
    "genhance_score_options": ScoreOptions, "genhance_score_summary": ScoreSummary, "genhance_share": Share,
    "genhance_progress": Progress, "genhance_train_options": TrainOptions, "genhance_stage_report": StageReport,
    "genhance_export_options": ExportOptions, "genhance_export_result": ExportResult,
}

PRECISIONS = {"float32": 1, "float16": 2, "bfloat16": 3}
DTYPES = {"keep": 0, "float32": 1, "float16": 2, "bfloat16": 3}
KINDS = {"mmvp": 0, "zeroshot": 1, "retrieval": 2}
FORMATS = {"hf": 0, "peft": 1, "vision": 2}


def _open() -> c.CDLL:
    named = os.environ.get("GENHANCE_LIBRARY")
    return c.CDLL(named or str(pathlib.Path(__file__).resolve().parent / "libgenhance.so"))


def _declare(lib: c.CDLL) -> None:
    handle, text, texts, size = c.c_void_p, c.c_char_p, c.POINTER(c.c_char_p), c.c_size_t
    out, floats, p = c.POINTER(c.c_void_p), c.POINTER(c.c_float), c.POINTER
    functions = {
        "version": (text,), "last_error": (text,), "status_name": (text, c.c_int), "set_verbosity": (None, c.c_int),
        "device_list": (c.c_int, p(DeviceInfo), size, p(size)), "device_open": (c.c_int, out, text),
        "device_close": (None, handle), "encoder_open": (c.c_int, out, handle, text, p(EncoderOptions)),
        "encoder_close": (None, handle), "encoder_width": (size, handle),
        "embed_files": (c.c_int, handle, floats, texts, size),
        "embed_images": (c.c_int, handle, floats, p(Image), size),
        "embed_texts": (c.c_int, handle, floats, texts, size),
        "score_run": (c.c_int, out, handle, c.c_int, text, text, p(ScoreOptions)), "score_close": (None, handle),
        "score_summarize": (c.c_int, handle, p(ScoreSummary)), "score_share": (c.c_int, handle, size, p(Share)),
        "training_open": (c.c_int, out, text, texts, size), "training_parse": (c.c_int, out, text, texts, size),
        "training_close": (None, handle), "training_config": (text, handle), "training_output": (text, handle),
        "training_run": (c.c_int, handle, p(TrainOptions)),
        "training_stage": (c.c_int, handle, c.c_int, p(StageReport)), "training_plan": (text, handle, c.c_int),
        "export": (c.c_int, p(ExportResult), text, text, p(ExportOptions)),
    }
    for name, (result, *arguments) in functions.items():
        function = getattr(lib, "genhance_" + name)
        function.restype, function.argtypes = result, arguments


lib = _open()
_declare(lib)


def check(status: int) -> None:
    """Raises Error with the library's reason unless the status is 0."""
    if status:
        name = lib.genhance_status_name(status).decode()
        kind = Stopped if name == "stopped" else Error
        raise kind(name, lib.genhance_last_error().decode(errors="replace"))


def chosen(table: dict[str, int], name: str, what: str) -> int:
    if name not in table:
        raise ValueError(f"{what} {name!r}: one of {', '.join(table)}")
    return table[name]


def path(value: Any) -> bytes | None:
    return None if value is None else os.fsencode(value)


def strings(values: list[bytes]) -> Any:
    return (c.c_char_p * len(values))(*values)
