"""Scenes beside their reconstructions, with the objects' boxes as data rather than drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from air_lightning.distributions import presence_weights
from air_lightning.figures.images import ImageArray, enlarged
from datamodules.base import Batch
from renderers.base import Renderer
from renderers.spaces import Categorical


class Box(NamedTuple):
    """A box around an object.

    Attributes:
        corners: x0, y0, x1, y1 in pixels of the image, from the upper left corner.
        identity: index into the scene's names. caption: what to write beside it.
        figures: numbers that belong to it: the pose, and of an inferred object its presence.
    """

    corners: tuple[float, ...]
    identity: int
    caption: str
    figures: dict[str, float]


class BoxedScene(NamedTuple):
    """One scene.

    Attributes:
        image: (height, width, 3), the scene beside its reconstruction. caption: what it holds, in words.
        inferred, truth: boxes over the scene; no truth where it is not known.
        names: of the identities; of the slots where the renderer has no identities.
    """

    image: ImageArray
    caption: str
    inferred: list[Box]
    truth: list[Box]
    names: Sequence[str]


def gallery(
    renderer: Renderer,
    batch: Batch,
    count: Tensor,
    posterior: Tensor,
    what: Tensor,
    where: Tensor,
    reconstruction: Tensor,
    zoom: int = 3,
) -> list[BoxedScene]:
    """The scenes of a batch.

    An object's box is the extent of what the renderer draws of it alone, in 2D and in 3D.

    Args:
        count: (B,). posterior: (B, N + 1), q(n | x). what: (B, N, ...), where: (B, N, P), the inferred slots.
        reconstruction: (B, C, H, W). zoom: pixels of the image a pixel.
    """
    presence, boxes, truth = (
        presence_weights(posterior),
        renderer.boxes(what, where) * zoom,
        _true_boxes(renderer, batch),
    )
    identities = isinstance(renderer.what, Categorical)
    names = renderer.what.names if isinstance(renderer.what, Categorical) else _ordinals(boxes, batch.where)
    boxed_scenes = []
    for b in range(len(count)):
        figures = [{"presence": float(presence[b, i])} | _pose(renderer, where[b, i]) for i in range(int(count[b]))]
        found = _boxes(boxes[b], figures, what[b] if identities else None, names)
        real = [] if truth is None else _boxes(
            truth[b] * zoom, [{}] * int(batch.count[b]), batch.what[b] if identities else None, names
        )  # fmt: skip
        pair = [np.asarray(enlarged(images[b], zoom)) for images in (batch.images, reconstruction)]
        caption = f"{int(count[b])} inferred" + (f", {int(batch.count[b])} true" if int(batch.count[b]) >= 0 else "")
        if len(found) < int(count[b]):
            caption += f", {int(count[b]) - len(found)} inferred without a box (nothing of it is drawn)"
        boxed_scenes.append(BoxedScene(np.concatenate(pair, 1), caption, found, real, names))
    return boxed_scenes


def _true_boxes(renderer: Renderer, batch: Batch) -> Tensor | None:
    """(B, T, 4): the data's own, or of the true objects as the renderer draws them; None where neither is known."""
    if batch.boxes is not None:
        return batch.boxes
    told = int(batch.count.min()) >= 0 and int(batch.what.min()) >= 0 and batch.where.shape[-1] == len(renderer.where)
    if not (isinstance(renderer.what, Categorical) and told):
        return None
    return renderer.boxes(batch.what, batch.where.nan_to_num())  # NaN: a rotation that is not told


def _boxes(
    corners: Tensor, figures: Sequence[dict[str, float]], identities: Tensor | None, names: Sequence[str]
) -> list[Box]:
    """The first of corners (S, 4), as many as there are figures; without those of objects that cannot be seen."""
    boxes = []
    for i, numbers in enumerate(figures):
        identity = i if identities is None else int(identities[i])
        x0, y0, x1, y1 = corners[i].tolist()
        if x0 < x1 and y0 < y1:  # an identity that is not told is -1
            boxes.append(
                Box((x0, y0, x1, y1), max(0, identity), names[identity] if identity >= 0 else "object", numbers)
            )
    return boxes


def _pose(renderer: Renderer, where: Tensor) -> dict[str, float]:
    """The coordinates of one pose (P,) by name."""
    return dict(zip(renderer.where.names, where.tolist()))


def _ordinals(*slots: Tensor) -> list[str]:
    """Names for objects that have no identities: the order in which they are found."""
    return [f"object {i + 1}" for i in range(max(part.shape[1] for part in slots))]
