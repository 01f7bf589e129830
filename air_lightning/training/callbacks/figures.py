"""`Figures`: scenes beside their reconstructions, as PNG files in the run folder, and as animations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng

from air_lightning.runs import FIGURES, drafted, figures_of

FREE_SECONDS = 30.0
"""What drawing may take of a fit's time however short the fit is."""


@runtime_checkable
class InfersInSteps(Protocol):
    """A module that can show how it explains scenes, object after object. Modules need not have this."""

    def steps(self, batch: Any) -> Sequence[np.ndarray]:
        """Frames (H, W, 3) of uint8, all of one size. Called as `image` is."""


class Figures(Callback):
    """Draws the first scenes of the validation data at the start of fit, in between, and at its end.

    In between is every few minutes, and at steps spread over training, denser at its start, where most changes, as
    far as ``share`` allows: where the module searches long for its best explanation, fewer are drawn. At the end of fit
    `figures/training.gif` shows all images in the folder, those from before a break too, and `figures/steps.gif` how
    some scenes are explained, for a module that `InfersInSteps`.

    The image is the module's: `pl_module.image(batch)` returns an array (H, W, 3) of uint8, the scenes
    beside their reconstructions with the inferred objects marked. It is called with the module in evaluation
    mode, without gradients, on the first process only, and may draw random numbers, which do not change those
    of training. Files are `figures/step-000123.png` in the run folder.
    """

    def __init__(self, every_minutes: float = 3.0, scenes: int = 8, frames: int = 24, share: float = 0.05) -> None:
        """
        Args:
            every_minutes: wall-clock time between two images; 0 draws none at all.
            scenes: how many scenes of the first validation batch are shown.
            frames: images that are spread over training besides, where its last step is known; 0: none.
            share: of the time since fit began, what drawing may take beyond the first 30 seconds of it. The images of
                start and end are always drawn.

        Raises:
            ValueError: `every_minutes` or `frames` is negative, `scenes` is not positive, or `share` is not in [0, 1].
        """
        if not every_minutes >= 0:
            raise ValueError(f"figures.every_minutes must be at least 0 (0 draws none), got {every_minutes}")
        if scenes < 1:
            raise ValueError(f"figures.scenes must be at least 1, got {scenes} (every_minutes 0 draws none)")
        if frames < 0:
            raise ValueError(f"figures.frames must be at least 0 (0 spreads none over training), got {frames}")
        if not 0 <= share <= 1:
            raise ValueError(f"figures.share must be in [0, 1], got {share}")
        self.every_minutes = every_minutes
        self.scenes = scenes
        self.frames = frames
        self.share = share
        self._batch: Any = None
        self._planned: list[int] = []  # steps to draw at, the next one last
        self._drawn_at = (-1, 0.0)  # optimizer step, time in seconds
        self._began = 0.0  # time in seconds
        self._spent = self._last = 0.0  # seconds of drawing, all and the last one's

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
            self._batch = first_scenes(batch, self.scenes)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The untrained model: an error in `image` shows now, not after minutes of training."""
        self._began, self._spent = time.monotonic(), 0.0
        if self._batch is not None:
            planned = spread(trainer.estimated_stepping_batches, self.frames)
            self._planned = [step for step in reversed(planned) if step > trainer.global_step]
        self._draw(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        due = self._due(trainer.global_step)
        if (due or time.monotonic() - self._drawn_at[1] >= 60 * self.every_minutes) and self._affordable():
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last image, and the animations."""
        self._draw(trainer, pl_module)
        if self._batch is not None:
            self._animate(Path(trainer.default_root_dir) / FIGURES, pl_module)

    def _active(self, trainer: pl.Trainer) -> bool:
        return bool(
            self.every_minutes and trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.fast_dev_run  # type: ignore[attr-defined]
        )

    def _due(self, step: int) -> bool:
        """Whether a planned step is reached, which is then done with."""
        due = bool(self._planned) and step >= self._planned[-1]
        while self._planned and step >= self._planned[-1]:
            self._planned.pop()
        return due

    def _affordable(self) -> bool:
        """Whether one more image, which takes as long as the last one, is within the share of the time."""
        return self._spent + self._last <= FREE_SECONDS + self.share * (time.monotonic() - self._began)

    def _animate(self, folder: Path, pl_module: pl.LightningModule) -> None:
        from air_lightning.figures.images import write_gif  # brings Pillow, as in `write_png`

        drawn = figures_of(folder)
        with drafted(folder / "training.gif") as draft:
            write_gif(draft, (read_png(file) for _, file in drawn), [f"step {step}" for step, _ in drawn])
        if isinstance(pl_module, InfersInSteps):
            frames = [_checked(frame) for frame in isolated(pl_module, pl_module.steps, self._batch)]
            captions = [f"{n} of {len(frames) - 1}" for n in range(len(frames))]
            with drafted(folder / "steps.gif") as draft:
                write_gif(draft, frames, captions, milliseconds=700)

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._batch is None or self._drawn_at[0] == trainer.global_step:
            return
        before = time.monotonic()
        path = Path(trainer.default_root_dir) / FIGURES / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.asarray(isolated(pl_module, pl_module.image, self._batch)))  # type: ignore[arg-type]
        self._drawn_at = (trainer.global_step, time.monotonic())
        self._last = self._drawn_at[1] - before
        self._spent += self._last


def spread(last: float, frames: int) -> list[int]:
    """Steps up to ``last``, at most ``frames``, ascending, further apart the later: at (i / frames)^2 of training.

    Empty where the last step is not known, that is not positive or not finite.

    >>> spread(100, 5)
    [4, 16, 36, 64, 100]
    """
    if not 0 < last < math.inf:
        return []
    return sorted({max(1, round(last * (i / frames) ** 2)) for i in range(1, frames + 1)})


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an array (H, W, 3) of uint8 as PNG.

    Raises:
        ValueError: the array has another shape or type.
    """
    from PIL import Image  # heavy, and needed only where images are drawn

    with drafted(path) as draft:
        Image.fromarray(np.ascontiguousarray(_checked(image))).save(draft, format="PNG")


def read_png(path: Path) -> np.ndarray:
    """What `write_png` wrote."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _checked(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            "`image` must return an array (height, width, 3) of uint8, and `steps` a list of such, "
            f"got {image.shape} of {image.dtype}: see the docstring of air_lightning.training.callbacks.Figures"
        )
    return image


def first_scenes(batch: Any, scenes: int) -> Any:
    """A copy of the first scenes of a batch."""
    return apply_to_collection(batch, torch.Tensor, lambda part: part[:scenes].clone() if part.ndim else part)


def isolated(pl_module: pl.LightningModule, draw: Callable[[Any], Any], batch: Any) -> Any:
    """`draw(batch)` in evaluation mode, without gradients and without a trace in training's random numbers."""
    modes = [(module, module.training) for module in pl_module.modules()]
    pl_module.eval()
    try:
        with torch.no_grad(), isolate_rng():
            return draw(batch)
    finally:
        for module, mode in modes:
            module.training = mode
