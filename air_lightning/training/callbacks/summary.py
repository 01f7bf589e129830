"""`Summary`: what a fit reached, and where it lies."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from air_lightning.runs import CHECKPOINTS, CONFIG, FIGURES, METRICS
from air_lightning.training.callbacks.checkpoints import Checkpoints


class Summary(Callback):
    """Prints at the end of fit: wall time, steps, the best and the last validation metrics, the files."""

    _first: int | None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._first = time.monotonic(), None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first = trainer.global_step  # of a resumed run the checkpoint's, which it has from now on

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            print("\n".join(self._lines(trainer)), flush=True)

    def _lines(self, trainer: pl.Trainer) -> list[str]:
        seconds = timedelta(seconds=round(time.monotonic() - self._start))
        best = [str(c.best) for c in trainer.callbacks if isinstance(c, Checkpoints) and c.best]  # type: ignore[attr-defined]
        total = trainer.global_step
        own = 0 if self._first is None else total - self._first  # a run that had ended does not start
        in_all = "" if own == total else f", {total} steps in all"
        lines = [f"trained   {own} steps, {seconds} (h:mm:ss) in this session{in_all}"]
        lines += [f"best      {text}" for text in best]
        lines += [f"{'last' if not i else '':9} {text}" for i, text in enumerate(_last(trainer))]
        return lines + [f"{'run' if not i else '':9} {text}" for i, text in enumerate(_files(trainer))]


def _last(trainer: pl.Trainer) -> list[str]:
    metrics = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
    return [f"{name} {value:.4g}" for name, value in sorted(metrics.items())]


def _files(trainer: pl.Trainer) -> list[str]:
    folder = Path(trainer.default_root_dir)
    names = [CONFIG, METRICS, f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/last.ckpt", FIGURES]
    return [f"{folder}/  {', '.join(name for name in names if (folder / name).exists())}"]
