"""`Progress`: the progress bar, with the figures that matter in few characters."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


class Progress(TQDMProgressBar):
    """Lightning's tqdm bar with short names and three digits.

    Shown is what the module logs with `prog_bar=True`: `val/count_accuracy` 0.98437 becomes `count=0.984`. On
    a terminal the bar moves with every step, in a log file every 100 steps.
    """

    def __init__(self, refresh_rate: int | None = None) -> None:
        """Args: refresh_rate: steps between two updates (default: 1 on a terminal, else 100)."""
        super().__init__(refresh_rate=refresh_rate or (1 if sys.stdout.isatty() else 100))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As Lightning's; an epoch that is gone on with has its bar begin here, for its start is told to no hook."""
        super().on_train_start(trainer, pl_module)
        if not trainer.fit_loop.restarted_mid_epoch:
            return
        self.on_train_epoch_start(trainer, pl_module)
        bar, done = self.train_progress_bar, trainer.fit_loop.epoch_loop.batch_progress.current.ready
        bar.initial = bar.n = done
        if bar.total is not None:
            # what is left until the last step comes on top of what was done before
            bar.total = min(trainer.num_training_batches, done + bar.total)
        bar.refresh()

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The figures beside the bar, name to text."""
        return shorten(super().get_metrics(trainer, pl_module))


def shorten(metrics: dict[str, Any]) -> dict[str, str]:
    """Name to text: names without `val/`, `_accuracy`, `_error` where they stay distinct, no `v_num`.

    >>> shorten({"v_num": 3, "val/count_accuracy": 0.98437, "val/elbo": 627.41})
    {'count': '0.984', 'elbo': '627'}
    """
    shown = {name: value for name, value in metrics.items() if name != "v_num"}
    names = [_short(name) for name in shown]
    texts = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in shown.values())
    return {
        short if names.count(short) == 1 else name: text for name, short, text in zip(shown, names, texts, strict=True)
    }


def _short(name: str) -> str:
    return name.removeprefix("val/").removesuffix("_accuracy").removesuffix("_error")
