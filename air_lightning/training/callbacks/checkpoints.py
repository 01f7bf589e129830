"""`Checkpoints`: `best.ckpt` by a validation metric, and `last.ckpt` to go on from."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks
from pytorch_lightning.utilities.exceptions import SIGTERMException

from air_lightning.runs import CHECKPOINTS
from air_lightning.runs.measures import BETTER, best_mode
from air_lightning.runs.writing import naming, remove

KEY = "best"


@dataclass(frozen=True)
class Best:
    """The best validation so far: metric, value and optimizer step, and all else that was measured then and finite."""

    monitor: str
    value: float
    step: int
    metrics: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.monitor} {self.value:.4g} at step {self.step}"


class MonitorError(ValueError):
    """A callback follows a metric that is not logged; the message names both, those that are logged, and the remedy."""


@runtime_checkable
class NamesMetrics(Protocol):
    """A module that knows beforehand what it measures. Modules need not."""

    def validation_metrics(self, data: Any) -> Sequence[str]:
        """The names of all that a validation on this data may log."""


class Checkpoints(callbacks.Checkpoint):
    """Keeps two checkpoints in the run folder's `checkpoints/`.

    `best.ckpt` is written by a validation whose `monitor` beats all earlier ones. `last.ckpt` is written
    after every validation, at the end of training, when SIGTERM arrives, and at least every few minutes. Both
    appear whole or not at all, for each is written beside its place and then moved there. After an error
    nothing is written.

    Lightning's ModelCheckpoint, of which it would take two, writes `last` only where it writes `best`, ends a
    name in `-v1` where a file exists, and forgets the best value when a folder is moved. Here the value is
    read from `best.ckpt` itself.
    """

    def __init__(
        self,
        monitor: str = "val/scene_accuracy",
        mode: Literal["min", "max"] = "max",
        every_minutes: float = 10.0,
    ) -> None:
        """
        Args:
            monitor: name of the validation metric, as the module logs it.
            mode: whether the lowest or the highest value is the best.
            every_minutes: longest time between two writings of `last.ckpt`, in minutes of wall clock.

        Raises:
            ValueError: `every_minutes` is not positive.
        """
        if not every_minutes > 0:
            raise ValueError(f"checkpoint.every_minutes must be positive, got {every_minutes}")
        self.monitor = monitor
        self.mode = mode
        self.every_minutes = every_minutes
        self.best: Best | None = None
        self._saved_at = (-1, 0.0)  # optimizer step, time in seconds
        self._validated_at = -1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.best = self._read_best(_path(trainer, "best"))
        self._saved_at = (-1, time.monotonic())

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.best is not None:
            checkpoint[KEY] = vars(self.best)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not _writes(trainer):
            return
        if trainer.sanity_checking:
            self._monitored(trainer)  # a wrong name shows now, not after an epoch
            return
        self._validated_at = trainer.global_step
        if self._improved(trainer):
            _save(trainer, "best")
        if not trainer.is_last_batch or epoch_ended(trainer):  # else the state after it is the one to go on from
            self._save_last(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # Where a validation follows, it saves: a run that is killed in it makes it again.
        if not trainer.is_last_batch and self._overdue(trainer) and not _validates_next(trainer):
            self._save_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_last_batch and trainer.global_step == self._validated_at:
            self._save_last(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._saved_at[0] != trainer.global_step:
            self._save_last(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """SIGTERM and a metric that is not there end training between two steps, where all is whole; others do not.

        A validation that is cut short is not made up for by the resumed run.
        """
        if isinstance(exception, (SIGTERMException, MonitorError)) and self._saved_at[0] != trainer.global_step:
            self._save_last(trainer)

    def _overdue(self, trainer: pl.Trainer) -> bool:
        """Whether `every_minutes` have passed; all processes agree on it."""
        overdue = time.monotonic() - self._saved_at[1] >= 60 * self.every_minutes
        return trainer.strategy.reduce_boolean_decision(overdue, all=False)

    def _save_last(self, trainer: pl.Trainer) -> None:
        if _writes(trainer) and trainer.global_step > 0:
            _save(trainer, "last")
            self._saved_at = (trainer.global_step, time.monotonic())

    def _improved(self, trainer: pl.Trainer) -> bool:
        """Whether this validation is the best; then it is noted."""
        value = trainer.strategy.broadcast(self._monitored(trainer))  # all processes must agree
        better = self.best is None or (value > self.best.value if self.mode == "max" else value < self.best.value)
        if math.isnan(value) or not better:
            return False
        measured = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
        finite = {name: figure for name, figure in measured.items() if math.isfinite(figure)}
        self.best = Best(self.monitor, value, trainer.global_step, finite)
        return True

    def _monitored(self, trainer: pl.Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            raise _no_metric(self, sorted(name for name in trainer.callback_metrics if name.startswith("val")))
        return float(trainer.callback_metrics[self.monitor])

    def _read_best(self, path: Path) -> Best | None:
        if not path.is_file():
            return None
        record = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get(KEY)
        best = Best(**record) if record else None
        return best if best and best.monitor == self.monitor else None


def check_monitors(trainer: pl.Trainer, names: Sequence[str]) -> None:
    """MonitorError where a callback follows a validation metric that is not logged, or takes its worst for its best.

    What is logged is not known where there are callbacks of the user's own. Metrics of training are left to Lightning.
    """
    followers: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in followers:
        _check_mode(callback)
    ours = ("air_lightning.", "pytorch_lightning.")
    if not all(type(callback).__module__.startswith(ours) for callback in followers):
        return
    for callback in followers:
        name = getattr(callback, "monitor", None)
        of_validation = isinstance(callback, Checkpoints) or str(name).rpartition("/")[0] in ("", "val")
        if isinstance(name, str) and of_validation and name not in names:
            raise _no_metric(callback, names)


def _check_mode(callback: Any) -> None:
    """MonitorError where a callback takes the worst value of a figure for the best."""
    name, mode = getattr(callback, "monitor", None), getattr(callback, "mode", None)
    right = best_mode(name) if isinstance(name, str) else None
    if right is None or mode not in ("min", "max") or mode == right:
        return
    ours = isinstance(callback, Checkpoints)
    raise MonitorError(
        f"{_whose(callback)} {name!r} is better the {BETTER[right]} it is, and mode {mode!r} takes the {BETTER[mode]} "
        "for better: " + (f"give --checkpoint.mode {right}" if ours else f"give its mode as {right!r}")
    )


def _whose(callback: Any) -> str:
    if isinstance(callback, Checkpoints):
        return "checkpoint.monitor"
    return f"the monitor of trainer.callbacks' {type(callback).__name__},"


def _no_metric(callback: Any, names: Sequence[str]) -> MonitorError:
    ours = isinstance(callback, Checkpoints)
    return MonitorError(
        f"{_whose(callback)} {callback.monitor!r} is not among the metrics logged in validation: choose one of "
        f"{', '.join(names)}" + (" with --checkpoint.monitor" if ours else "")
    )


def best_of(trainer: pl.Trainer) -> Best | None:
    """The best validation of the run so far, as its `Checkpoints` has it."""
    ours = (c for c in trainer.callbacks if isinstance(c, Checkpoints))  # type: ignore[attr-defined]
    return next((checkpoints.best for checkpoints in ours), None)


def _path(trainer: pl.Trainer, name: str) -> Path:
    return Path(trainer.default_root_dir) / CHECKPOINTS / f"{name}.ckpt"


def _writes(trainer: pl.Trainer) -> bool:
    return trainer.state.fn == "fit" and not trainer.fast_dev_run  # type: ignore[attr-defined]


def epoch_ended(trainer: pl.Trainer) -> bool:
    """Whether Lightning has closed an epoch, be it complete or broken off, and not opened another."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.processed == epochs.ready


def _validates_next(trainer: pl.Trainer) -> bool:
    """Whether there is a validation between the batch just trained on and the next, or the end of training."""
    loop = trainer.fit_loop
    return loop.epoch_loop.done or loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]


def _written_first(trainer: pl.Trainer, path: Path) -> Path:
    """What Lightning fills before it moves a file to its place: the folder of temporary files, if on another disk."""
    scratch, home = Path(gettempdir()), Path(trainer.default_root_dir)
    return path if scratch.stat().st_dev == home.stat().st_dev else scratch


def _save(trainer: pl.Trainer, name: str) -> None:
    path = _path(trainer, name)
    draft = path.with_suffix(".draft")
    try:
        with naming(path, draft), naming(_written_first(trainer, path)):
            trainer.save_checkpoint(draft, weights_only=False)  # on every process: the states of all are gathered
            if trainer.is_global_zero:
                os.replace(draft, path)
    except OSError:
        remove(draft)
        raise
    trainer.strategy.barrier()
