"""`Stopwatch`: how long training itself has taken."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

NAME = "time/training_seconds"


class Stopwatch(Callback):
    """Logs `time/training_seconds`: wall time of the training steps and their data, validations left out.

    It is logged with every training step that is logged, and with every validation, so `metrics.csv` tells when a
    figure was reached. A resumed run goes on counting from its checkpoint.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._count()
        pl_module.log(NAME, self.seconds)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._count()
        self._since = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            pl_module.log(NAME, self.seconds)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._since = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = float(state_dict["seconds"])

    def _count(self) -> None:
        """Add the time since it was last looked at, unless training stands still."""
        if self._since is not None:
            now = time.monotonic()
            self.seconds += now - self._since
            self._since = now
