"""`FinalValidation`: the last weights are validated, whatever ended training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class FinalValidation(Callback):
    """Validates at the end of fit if the weights have changed since the last validation.

    Lightning does so when `max_epochs` ends training, but not when `max_steps` does within an epoch, nor
    always when `max_time` does. Then `best.ckpt` and the last metrics would miss the end of training.
    """

    def __init__(self) -> None:
        self._validated_at = -1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated_at = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.enable_validation and self._validated_at != trainer.global_step:
            # As the training loop does for its own validations; Lightning has no public way to run one here.
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
