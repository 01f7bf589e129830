"""`StopSignal`: SIGTERM ends predict too."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException


class StopSignal(Callback):
    """Ends predict after the batch in which SIGTERM arrived.

    Lightning catches the signal in every subcommand, and heeds it in fit, after the step, and in evaluations,
    after the batch; but not in predict.
    """

    def on_predict_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.received_sigterm:
            raise SIGTERMException
