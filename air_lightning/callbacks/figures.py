"""`Figures`: scenes beside their reconstructions, as PNG files in the run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng

from air_lightning.runs import FIGURES


class Figures(Callback):
    """Draws the first scenes of the validation data at the start of fit, every few minutes, and at its end.

    The picture is the module's: `pl_module.picture(batch)` returns an array (H, W, 3) of uint8, the scenes
    beside their reconstructions with the inferred objects marked. It is called with the module in evaluation
    mode, without gradients, on the first process only, and may draw random numbers, which do not change those
    of training. Files are `figures/step-000123.png` in the run folder.
    """

    def __init__(self, every_minutes: float = 3.0, scenes: int = 8) -> None:
        """
        Args:
            every_minutes: wall-clock time between two pictures; 0 draws none at all.
            scenes: how many scenes of the first validation batch are shown.

        Raises:
            ValueError: `every_minutes` is negative or `scenes` is not positive.
        """
        if every_minutes < 0:
            raise ValueError(f"figures.every_minutes must be at least 0 (0 draws none), got {every_minutes}")
        if scenes < 1:
            raise ValueError(f"figures.scenes must be at least 1, got {scenes} (every_minutes 0 draws none)")
        self.every_minutes = every_minutes
        self.scenes = scenes
        self._batch: Any = None
        self._drawn_at = (-1, 0.0)  # optimizer step, time in seconds

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first scenes, as they are on the device."""
        if self._batch is None and self._active(trainer):
            self._batch = apply_to_collection(batch, torch.Tensor, self._first)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The untrained model: an error in `picture` shows now, not after minutes of training."""
        self._draw(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if time.monotonic() - self._drawn_at[1] >= 60 * self.every_minutes:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw(trainer, pl_module)

    def _active(self, trainer: pl.Trainer) -> bool:
        return bool(
            self.every_minutes and trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.fast_dev_run  # type: ignore[attr-defined]
        )

    def _first(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[: self.scenes].clone() if tensor.ndim else tensor

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._batch is None or self._drawn_at[0] == trainer.global_step:
            return
        path = Path(trainer.default_root_dir) / FIGURES / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, _picture(pl_module, self._batch))
        self._drawn_at = (trainer.global_step, time.monotonic())


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an array (H, W, 3) of uint8 as PNG.

    Raises:
        ValueError: the array has another shape or type.
    """
    from PIL import Image  # heavy, and needed only where pictures are drawn

    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(
            "`picture` must return an array (height, width, 3) of uint8, "
            f"got {picture.shape} of {picture.dtype}: see the docstring of air_lightning.callbacks.Figures"
        )
    Image.fromarray(np.ascontiguousarray(picture)).save(path, format="PNG")


def _picture(pl_module: pl.LightningModule, batch: Any) -> np.ndarray:
    modes = [(module, module.training) for module in pl_module.modules()]
    pl_module.eval()
    try:
        with torch.no_grad(), isolate_rng():
            return np.asarray(pl_module.picture(batch))  # type: ignore[operator]
    finally:
        for module, mode in modes:
            module.training = mode
