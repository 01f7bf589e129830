"""What a batch is."""

from typing import Any, NamedTuple

from torch import Tensor


class DataError(ValueError):
    """What a batch is made of cannot be used: found when it was read, and a run has begun."""


class Batch(NamedTuple):
    """B scenes.

    Attributes:
        images: (B, C, H, W) in [0, 1]. Everything lies on one device: the CPU, or where scenes are drawn.
        count: (B,) true number of objects. what: (B, T) their identities, where: (B, T, P) their poses in the
            renderer's coordinates; entries from ``count`` on mean nothing. For evaluation only: training
            does not look at them, unless it is asked to learn from labels. Identities are numbered as in the data's
            ``identity_names``; a trainer's model is given them by its own numbers. Where the truth is not known
            (``SceneDataModule.has_truth``) ``count`` is -1; an identity that is not told is -1, and a rotation NaN.
        boxes: (B, T, 4) of flat objects: x0, y0, x1, y1 in pixels from the upper left corner, ends excluded; zeros
            where nothing of one shows, which counts, but whose place is not asked for. Or None.
        masks: (B, T, H, W) bool, the pixels where each object is what one sees. Or None.
        scene: (B, S), the coordinates of each scene (``Renderer.scene``). Or None.
    """

    images: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    what: Tensor
    where: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None
    scene: Tensor | None = None


def checked_batch(name: str, batch: Any) -> Batch:
    """A batch of the data module of this name; DataError where it is none."""
    if isinstance(batch, Batch):
        return batch
    keys = f" with the keys {', '.join(map(str, batch))}" if isinstance(batch, dict) else ""
    raise DataError(
        f"{name} gives a {type(batch).__name__}{keys} as a batch, expected a datamodules.Batch: return "
        "Batch(images, count, what, where) from __getitems__ of its scenes"
    )
