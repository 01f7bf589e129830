"""`StopSignal`: SIGTERM and Ctrl-C end all processes of a run, at the same step."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from air_lightning import parallel


class StopSignal(Callback):
    """Ends a run after the batch in which SIGTERM or SIGINT arrived, in every subcommand and in all processes alike.

    SIGINT is Ctrl-C: a second one ends the process at once, wherever it is.

    In one process Lightning does that itself with SIGTERM. Of several, each would end as soon as it had heard of
    the signal, while the others wait for it; and Lightning's handler has the processes exchange a word wherever each
    of them may be. So here the handler only takes note, and after every batch that all of them have they ask one
    another. It does not matter which of them were sent the signal.
    """

    def __init__(self) -> None:
        self.interrupted = False  # by Ctrl-C
        self._asked = False
        self._shared = 0.0  # batches that every process has in this evaluation

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._listen(trainer)
        self._share(trainer, batches)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)
        self._share(trainer, trainer.num_test_batches)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._ask(trainer)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._ask_if_shared(trainer, batch_idx)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._ask_if_shared(trainer, batch_idx)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ask(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ask(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ask(trainer)

    def _listen(self, trainer: pl.Trainer) -> None:
        """In the place of Lightning's handlers, which it registers before these hooks; it puts all back at the end."""
        if threading.current_thread() is not threading.main_thread():
            return
        if trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self._note)
            parallel.end_with_first(False)  # all have met: who ends now does so with the others
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler and not self.interrupted:
            signal.signal(signal.SIGINT, self._interrupt)

    def _note(self, *_: Any) -> None:
        self._asked = True

    def _interrupt(self, *_: Any) -> None:
        self._asked = self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this batch; Ctrl-C again ends at once", file=sys.stderr, flush=True)

    def _share(self, trainer: pl.Trainer, batches: list[int | float]) -> None:
        most = torch.tensor(float(sum(batches)), device=trainer.strategy.root_device)
        self._shared = float(trainer.strategy.reduce(most, reduce_op="min"))

    def _ask_if_shared(self, trainer: pl.Trainer, batch: int) -> None:
        if batch < self._shared:
            self._ask(trainer)

    def _ask(self, trainer: pl.Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            trainer._signal_connector.received_sigterm = True  # where Lightning looks next
