"""A callback that measures training steps turn by turn: `benchmarks/training.py` has it in its fits."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

MARK = "turn: "
WARM = 10
PARTS = ("data", "network", "renderer", "rest")


def peak(used: resource.struct_rusage) -> float:
    """Peak memory, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return used.ru_maxrss * unit / 2**20


class Clock:
    """CPU seconds by part; each moment counts for one part only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._part, self._since = "rest", time.process_time()

    @property
    def counting(self) -> str:
        """The part that time now counts for."""
        return self._part

    @counting.setter
    def counting(self, part: str) -> None:
        now = time.process_time()
        self.seconds[self._part] += now - self._since
        self._part, self._since = part, now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts for ``part``, unless data are being made."""

        def run(*args: Any, **kwargs: Any) -> Any:
            before = self.counting
            self.counting = part if before != "data" else before
            try:
                return function(*args, **kwargs)
            finally:
                self.counting = before

        return run


class Turns(Callback):
    """After `WARM` steps, and after every ``steps`` more, prints what a step cost, and waits for a line to go on.

    A turn is a line of JSON after `MARK`: user and system CPU seconds a step, page faults a step, and the CPU seconds
    of `PARTS`: data (drawing scenes), network (its forward pass, and all of the backward pass that is not the
    renderer's), renderer (canvases, finite differences, alternatives), and the rest (likelihoods, losses, optimizer,
    trainer). `before` is the peak memory before the first step, MiB.
    """

    def __init__(self, steps: int = 10) -> None:
        self.steps, self.clock = steps, Clock()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = peak(resource.getrusage(resource.RUSAGE_SELF))
        for owner, part, names in (
            (pl_module.renderer, "renderer", ("render", "swap_scores", "draw")),
            (pl_module.network, "network", ("propose", "appearance")),
            (pl_module, "network", ("backward",)),
            (trainer.train_dataloader.dataset, "data", ("__getitems__",)),  # type: ignore[union-attr]
        ):
            for name in names:
                setattr(owner, name, self.clock.timed(part, getattr(owner, name)))  # type: ignore[arg-type]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        if trainer.global_step >= WARM and (trainer.global_step - WARM) % self.steps == 0:
            self._end_turn(trainer.global_step == WARM)

    def _end_turn(self, first: bool) -> None:
        now = resource.getrusage(resource.RUSAGE_SELF)
        spent = {} if first else self._spent(now)
        print(MARK + json.dumps(spent), flush=True)
        sys.stdin.readline()
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self.clock.counting = "rest"
        self.clock.seconds.clear()

    def _spent(self, now: resource.struct_rusage) -> dict[str, float]:
        before = self._before
        whole = {
            "user": now.ru_utime - before.ru_utime,
            "system": now.ru_stime - before.ru_stime,
            "faults": float(now.ru_minflt - before.ru_minflt),
        }
        parts = {part: self.clock.seconds[part] for part in PARTS}
        return {name: value / self.steps for name, value in {**whole, **parts}.items()} | {"before": self._start}
