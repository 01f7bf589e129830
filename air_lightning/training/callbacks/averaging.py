"""Lightning's `WeightAveraging` of parameters alone: buffers are the model's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, WeightAveraging


class OwnBuffers(Callback):
    """Has a `WeightAveraging` average parameters and take buffers as they are; goes before it.

    Buffers are no weights: whole numbers and truth values have no average, running sums would fall behind, and of what
    a renderer has learnt of all images it draws the present value. `use_buffers=False` brings the average's buffers up
    to date when it is updated, which need not be at every step; here they are so, too, whenever they are given to the
    model or to a checkpoint.
    """

    def __init__(self, averaging: WeightAveraging) -> None:
        averaging._use_buffers = False
        self.averaging = averaging

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bring_up_to_date(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bring_up_to_date(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bring_up_to_date(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._bring_up_to_date(pl_module)

    def _bring_up_to_date(self, pl_module: pl.LightningModule) -> None:
        average = self.averaging._average_model
        if average is None:
            return
        for kept, own in zip(average.module.buffers(), pl_module.buffers(), strict=True):
            kept.detach().copy_(own.detach())


def with_own_buffers(callbacks: Iterable[Callback]) -> list[Callback]:
    """The callbacks, before each `WeightAveraging` what has it leave buffers alone."""
    return [
        each
        for given in callbacks
        for each in ([OwnBuffers(given), given] if isinstance(given, WeightAveraging) else [given])
    ]
