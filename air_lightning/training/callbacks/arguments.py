"""`Arguments`: with which arguments of model and data a checkpoint was saved."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from air_lightning.runs import ARGUMENTS


class Arguments(Callback):
    """Checkpoints say with what they were trained and measured: `best.ckpt` may outlive the data of its run.

    Args:
        text: the arguments in force, as YAML.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[ARGUMENTS] = self.text
