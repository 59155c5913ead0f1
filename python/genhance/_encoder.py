"""Embeddings and scores."""
from __future__ import annotations

import ctypes as c
import os
from dataclasses import dataclass
from typing import Any, Sequence, Union

import numpy as np

from . import _library as l

Picture = Union[str, "os.PathLike[str]", np.ndarray]


@dataclass(frozen=True)
class Device:
    """A device that `device=` takes by its id."""
    id: str
    name: str
    platform: str
    driver: str
    memory_bytes: int
    compute_units: int
    is_cpu: bool


def devices() -> list[Device]:
    """The devices of this machine."""
    count = c.c_size_t()
    l.check(l.lib.genhance_device_list(None, 0, c.byref(count)))
    if not count.value:
        return []
    infos = (l.DeviceInfo * count.value)()
    infos[0].struct_size = c.sizeof(l.DeviceInfo)
    l.check(l.lib.genhance_device_list(infos, len(infos), c.byref(count)))
    return [
        Device(i.id.decode(), i.name.decode(errors="replace"), i.platform.decode(errors="replace"),
               i.driver.decode(errors="replace"), i.memory_bytes, i.compute_units, bool(i.is_cpu))
        for i in infos[:count.value]
    ]


class _Open:
    """A device that is open as long as this object."""

    def __init__(self, device: str):
        self.handle = c.c_void_p()
        l.check(l.lib.genhance_device_open(c.byref(self.handle), device.encode()))

    def __del__(self) -> None:
        l.lib.genhance_device_close(self.handle)


class Encoder:
    """A model folder's towers on a device. Use it as a context manager, or call close().

    adapter: a PEFT folder; weights: a file of tensors that replace the model's; batch: pictures per launch;
    precision: "float32", "bfloat16" or "float16". Not to be used by two threads at once.
    """

    def __init__(self, model: Any, *, device: str = "auto", adapter: Any = None, weights: Any = None, batch: int = 8,
                 precision: str = "float32"):
        self._encoder = c.c_void_p()
        self._device: _Open | None = _Open(device)
        options = l.EncoderOptions(adapter=l.path(adapter), weights=l.path(weights), batch=batch,
                                   precision=l.chosen(l.PRECISIONS, precision, "precision"))
        l.check(l.lib.genhance_encoder_open(c.byref(self._encoder), self._device.handle, l.path(model),
                                            c.byref(options)))

    def close(self) -> None:
        """Frees the encoder and its device; closing twice is fine."""
        l.lib.genhance_encoder_close(self._encoder)
        self._encoder = c.c_void_p()
        self._device = None

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_encoder", None):
            self.close()

    @property
    def width(self) -> int:
        """The length of an embedding, D."""
        return l.lib.genhance_encoder_width(self._encoder)

    def images(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Files or arrays (height, width, 3) uint8 -> (n, D) float32, not normalised to length 1."""
        pictures = list(pictures)
        rows = self._rows(len(pictures))
        arrays = [isinstance(p, np.ndarray) for p in pictures]
        for first in range(0, len(pictures)):
            if first and arrays[first] == arrays[first - 1]:
                continue
            end = next((i for i in range(first, len(pictures)) if arrays[i] != arrays[first]), len(pictures))
            embed = self._embed_arrays if arrays[first] else self._embed_files
            embed(rows[first:end], pictures[first:end])
        return rows

    def texts(self, lines: Sequence[str]) -> np.ndarray:
        """Lines of text -> (n, D) float32."""
        lines = list(lines)
        rows = self._rows(len(lines))
        if lines:
            l.check(l.lib.genhance_embed_texts(self._encoder, _floats(rows), l.strings([t.encode() for t in lines]),
                                               len(lines)))
        return rows

    def _rows(self, count: int) -> np.ndarray:
        if not self._encoder:
            raise ValueError("the encoder is closed")
        return np.empty((count, self.width), np.float32)

    def _embed_files(self, rows: np.ndarray, files: Sequence[Any]) -> None:
        l.check(l.lib.genhance_embed_files(self._encoder, _floats(rows), l.strings([os.fsencode(f) for f in files]),
                                           len(files)))

    def _embed_arrays(self, rows: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        images = (l.Image * len(arrays))()
        kept = []
        for image, array in zip(images, arrays):
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise ValueError(f"a picture of {array.dtype}, shape {array.shape}: expected uint8 (height, width, 3)")
            kept.append(np.ascontiguousarray(array))
            image.struct_size = c.sizeof(l.Image)
            image.rgb = kept[-1].ctypes.data
            image.height, image.width = array.shape[:2]
        l.check(l.lib.genhance_embed_images(self._encoder, _floats(rows), images, len(arrays)))


def _floats(rows: np.ndarray) -> Any:
    return rows.ctypes.data_as(c.POINTER(c.c_float))


def encode(model: Any, images: Sequence[Picture] | None = None, texts: Sequence[str] | None = None,
           **options: Any) -> Any:
    """Embeddings of pictures or of lines of text, (n, D) float32; of both, a pair of arrays. Options as of Encoder."""
    if images is None and texts is None:
        raise ValueError("neither images nor texts")
    with Encoder(model, **options) as encoder:
        rows = [encoder.images(images)] if images is not None else []
        rows += [encoder.texts(texts)] if texts is not None else []
    return rows[0] if len(rows) == 1 else tuple(rows)


@dataclass(frozen=True)
class Score:
    """A share of successes in per cent, with its 95 % interval."""
    name: str
    hits: int
    total: int
    percent: float
    low: float
    high: float


def score(kind: str, model: Any, data: Any, *, device: str = "auto", adapter: Any = None, weights: Any = None,
          labels: Any = None, classes: Any = None, templates: Any = None, captions: Any = None, batch: int = 32,
          precision: str = "float32") -> dict[str, Score]:
    """The scores of `genhance eval`: kind "mmvp", "zeroshot" or "retrieval" -> by name ("top1", "image@5", ...)."""
    opened, handle = _Open(device), c.c_void_p()
    options = l.ScoreOptions(adapter=l.path(adapter), weights=l.path(weights), labels=l.path(labels),
                             classes=l.path(classes), templates=l.path(templates), captions=l.path(captions),
                             batch=batch, precision=l.chosen(l.PRECISIONS, precision, "precision"))
    l.check(l.lib.genhance_score_run(c.byref(handle), opened.handle, l.chosen(l.KINDS, kind, "kind"), l.path(model),
                                     l.path(data), c.byref(options)))
    try:
        summary, share, scores = l.ScoreSummary(), l.Share(), {}
        l.check(l.lib.genhance_score_summarize(handle, c.byref(summary)))
        for i in range(summary.shares):
            l.check(l.lib.genhance_score_share(handle, i, c.byref(share)))
            name = share.name.decode()
            scores[name] = Score(name, share.hits, share.total, share.percent, share.low, share.high)
        return scores
    finally:
        l.lib.genhance_score_close(handle)
