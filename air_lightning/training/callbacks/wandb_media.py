"""`WandbMedia`: images with boxes, the count confusion matrix and the best figures, for Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from air_lightning.training.callbacks.checkpoints import best_of
from air_lightning.training.callbacks.figures import InfersInSteps, first_scenes, isolated
from air_lightning.training.wandb import run_loggers

if TYPE_CHECKING:
    from air_lightning.figures.gallery import Box, BoxedScene

SCENES = 8
FRAMES = 24
"""With the scenes and the confusion matrix, fewer than 50 images a step."""


@runtime_checkable
class ShowsBoxes(Protocol):
    """A module that can mark objects in scenes. Modules need not have this."""

    def gallery(self, batch: Any) -> Sequence[BoxedScene]:
        """Called as `image` is, see `Figures`."""


@runtime_checkable
class CountsObjects(Protocol):
    """A module that counts objects. Modules need not have this."""

    @property
    def count_confusion(self) -> Tensor | None:
        """Scenes of the last evaluation by true count (row) and inferred count (column), if it knew the truth."""


class WandbMedia(Callback):
    """After every validation of fit, logs to the trainer's W&B runs; idle where there are none.

    - `scenes/boxes`: scenes beside their reconstructions, boxes of inferred and of true objects over them;
    - `scenes/attention`: some scenes explained step by step, each window before what is drawn in it;
    - `count_confusion`: how many scenes of each true count got which;
    - in the run's summary, `best/...`: the best validation's figures.

    The first two need a module that `ShowsBoxes` and `InfersInSteps`, the third one that `CountsObjects`. On the
    first process only, and without a trace in training's random numbers.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._noted = -1  # step of the best validation that the summary has

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the first scenes, as they are on the device."""
        if self._batch is None and self._active(trainer):
            self._batch = first_scenes(batch, SCENES)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not self._active(trainer):
            return
        media = self._media(pl_module)
        for logger in run_loggers(trainer):
            logger.log_metrics(media, trainer.global_step)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """The first moment at which `Checkpoints` has judged a validation."""
        self._note_best(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._note_best(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._note_best(trainer)

    def _active(self, trainer: pl.Trainer) -> bool:
        return trainer.state.fn == "fit" and trainer.is_global_zero and bool(run_loggers(trainer))

    def _media(self, pl_module: pl.LightningModule) -> dict[str, Any]:
        media: dict[str, Any] = {}
        if isinstance(pl_module, ShowsBoxes) and self._batch is not None:
            media["scenes/boxes"] = [_image(e) for e in isolated(pl_module, pl_module.gallery, self._batch)]
        if isinstance(pl_module, InfersInSteps) and self._batch is not None:
            media["scenes/attention"] = _frames(isolated(pl_module, pl_module.steps, self._batch))
        if isinstance(pl_module, CountsObjects) and pl_module.count_confusion is not None:
            media["count_confusion"] = _chart(pl_module.count_confusion.cpu())
        return media

    def _note_best(self, trainer: pl.Trainer) -> None:
        best = best_of(trainer) if self._active(trainer) else None
        if best is None or best.step == self._noted:
            return
        for logger in run_loggers(trainer):
            logger.note_best(best)
        self._noted = best.step


def _image(boxed: BoxedScene) -> Any:
    import wandb

    layers = {"inferred": boxed.inferred, "truth": boxed.truth}
    boxes = {name: _layer(shown, boxed.names) for name, shown in layers.items() if shown}
    return wandb.Image(boxed.image, caption=boxed.caption, boxes=boxes or None)


def _layer(boxes: Sequence[Box], names: Sequence[str]) -> dict[str, Any]:
    """One layer of boxes as W&B has it: https://docs.wandb.ai/ref/python/data-types/boundingboxes2d."""
    data = [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), box.corners)),
            "domain": "pixel",
            "class_id": box.identity,
            "box_caption": box.caption,
            "scores": box.figures,
        }
        for box in boxes
    ]
    return {"box_data": data, "class_labels": dict(enumerate(names))}


def _frames(frames: Sequence[Any]) -> list[Any]:
    """At most `FRAMES` of them, evenly spread, the last one always there."""
    import wandb

    last = len(frames) - 1
    shown = sorted({last - i * last // FRAMES for i in range(FRAMES)}) if last >= FRAMES else range(last + 1)
    return [wandb.Image(frames[n], caption=f"{n} of {last}") for n in shown]


def _chart(confusion: Tensor) -> Any:
    """W&B's chart of a confusion matrix, which takes every scene by itself."""
    import wandb

    true, inferred = confusion.nonzero().repeat_interleave(confusion[confusion > 0], 0).unbind(1)
    names = [f"{n}" for n in range(max(confusion.shape))]
    return wandb.plot.confusion_matrix(
        y_true=true.tolist(), preds=inferred.tolist(), class_names=names, title="Objects in a scene"
    )
