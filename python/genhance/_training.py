"""Training and export."""
from __future__ import annotations

import ctypes as c
import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Union

import numpy as np

from . import _library as l

Config = Union[str, "os.PathLike[str]", Mapping[str, Any]]


@dataclass(frozen=True)
class Progress:
    """An update that is done."""
    stage: int
    update: int
    updates: int
    samples: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Stage:
    """What a training did in a stage; `updates` 0: it did not run."""
    updates: int
    skipped: int
    first_loss: float
    last_loss: float
    seconds: float
    score: str
    start: float
    best: float
    best_snapshot: str
    within_guard: bool


@dataclass(frozen=True)
class Report:
    """The result of train(): the run's folder, its whole configuration, both stages, and the updates of this call.

    `updates` has a row per update with the fields of Progress, as a structured array: report.updates["loss"].
    """
    output: str
    config: dict[str, Any]
    stages: tuple[Stage, Stage]
    updates: np.ndarray

    def losses(self, stage: int) -> np.ndarray:
        """The losses of a stage, (n), of the updates that this call made."""
        return self.updates["loss"][self.updates["stage"] == stage]

    def export(self, folder: Any, **options: Any) -> int:
        """Writes the encoder; see export()."""
        return export(self.output, folder, **options)


_FIELDS = [(name, np.int64 if kind is c.c_int64 else np.float64) for name, kind in l.Progress._fields_[1:]]


class _Run:
    """Hands updates to a callback, and keeps what it raises: an exception must not pass through C."""

    def __init__(self, callback: Callable[[Progress], Any] | None):
        self.callback = callback
        self.rows: list[tuple[Any, ...]] = []
        self.raised: BaseException | None = None

    def __call__(self, _: Any, progress: Any) -> int:
        try:
            row = tuple(getattr(progress.contents, name) for name, _ in _FIELDS)
            self.rows.append(row)
            return bool(self.callback and self.callback(Progress(*row)))
        except BaseException as raised:  # KeyboardInterrupt, too: the state is saved, then it goes on
            self.raised = raised
            return 1


class _Training:
    def __init__(self, config: Config, overrides: Mapping[str, Any] | None):
        self.handle = c.c_void_p()
        sets = [f"{key}={value if isinstance(value, str) else json.dumps(value)}".encode()
                for key, value in (overrides or {}).items()]
        if isinstance(config, Mapping):
            status = l.lib.genhance_training_parse(c.byref(self.handle), json.dumps(config).encode(), l.strings(sets),
                                                   len(sets))
        else:
            status = l.lib.genhance_training_open(c.byref(self.handle), os.fsencode(config), l.strings(sets), len(sets))
        l.check(status)

    def __del__(self) -> None:
        l.lib.genhance_training_close(self.handle)

    def stage(self, number: int) -> Stage:
        r = l.StageReport()
        l.check(l.lib.genhance_training_stage(self.handle, number, c.byref(r)))
        return Stage(r.updates, r.skipped, r.first_loss, r.last_loss, r.seconds, r.score.decode(), r.start, r.best,
                     r.best_snapshot.decode(), bool(r.within_guard))


def train(config: Config, overrides: Mapping[str, Any] | None = None, *,
          callback: Callable[[Progress], Any] | None = None, resume: bool = False, replan: bool = False,
          allow_data_change: bool = False) -> Report:
    """Trains both stages as `genhance train` does.

    config: a run configuration's file, or the same as a mapping; overrides: {"stage1.batch": 64}. callback gets a
    Progress after every update; if it returns true, the state is saved and Stopped is raised, and resume=True goes on.
    What it raises is raised here when the state is saved.
    """
    training, run = _Training(config, overrides), _Run(callback)
    options = l.TrainOptions(progress=l.ProgressCallback(run), resume=resume, replan=replan,
                             allow_data_change=allow_data_change)
    status = l.lib.genhance_training_run(training.handle, c.byref(options))
    if run.raised is not None:
        raise run.raised
    l.check(status)
    return Report(output=os.fsdecode(l.lib.genhance_training_output(training.handle)),
                  config=json.loads(l.lib.genhance_training_config(training.handle)),
                  stages=(training.stage(1), training.stage(2)), updates=np.array(run.rows, dtype=_FIELDS))


def plan(config: Config, overrides: Mapping[str, Any] | None = None) -> list[dict[str, Any] | None]:
    """What `genhance train --dry-run` finds for either stage: parameters, memory, seconds per update. None: not run."""
    training = _Training(config, overrides)
    l.check(l.lib.genhance_training_run(training.handle, c.byref(l.TrainOptions(dry_run=1))))
    texts = [l.lib.genhance_training_plan(training.handle, number) for number in (1, 2)]
    return [json.loads(text) if text else None for text in texts]


def export(run: Any, folder: Any, *, snapshot: str | None = None, format: str = "hf", dtype: str = "keep") -> int:
    """Writes a run's encoder for other tools -> the update of its snapshot. format: "hf", "peft" or "vision"."""
    result = l.ExportResult()
    options = l.ExportOptions(snapshot=snapshot.encode() if snapshot else None,
                              format=l.chosen(l.FORMATS, format, "format"), dtype=l.chosen(l.DTYPES, dtype, "dtype"))
    l.check(l.lib.genhance_export(c.byref(result), os.fsencode(folder), os.fsencode(run), c.byref(options)))
    return result.update
