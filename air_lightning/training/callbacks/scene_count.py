"""`SceneCount`: how many scenes an evaluation saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback


class SceneCount(Callback):
    """Counts the scenes of validate and test, of all processes; None where a batch holds no tensor."""

    scenes: int | None = 0

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self._add(batch)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self._add(batch)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sum(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sum(trainer)

    def _add(self, batch: Any) -> None:
        scenes = scenes_in(batch)
        self.scenes = None if scenes is None or self.scenes is None else self.scenes + scenes

    def _sum(self, trainer: pl.Trainer) -> None:
        if self.scenes is not None and trainer.state.fn != "fit":
            scenes = torch.tensor(self.scenes, device=trainer.strategy.root_device)
            self.scenes = int(trainer.strategy.reduce(scenes, reduce_op="sum"))


def scenes_in(batch: Any) -> int | None:
    """How many scenes a batch holds: the length of its first tensor; None where it has none."""
    first = next(_tensors(batch), None)
    return None if first is None else len(first)


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    """The tensors of a batch that have a first axis, in order."""
    if isinstance(batch, torch.Tensor):
        if batch.ndim:
            yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        for value in batch:
            yield from _tensors(value)
    elif is_dataclass(batch):
        for field in fields(batch):
            yield from _tensors(getattr(batch, field.name))
