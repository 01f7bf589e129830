"""What a model says of one image, as records that go to JSON as they are."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air_lightning.commands.formats.coco import rle
from air_lightning.distributions import presence_weights
from air_lightning.model.air import Inference
from renderers.base import Renderer
from renderers.compositing import each, masks
from renderers.frames import Frames
from renderers.spaces import Categorical

CORNERS = torch.tensor([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
"""Of a window in its own coordinates, (3, 4): clockwise from the upper left one."""

Point = tuple[float, float]
Segmentation = dict[str, Any]


@dataclass(frozen=True)
class FoundObject:
    """One inferred object. Numbers have six significant digits.

    Attributes:
        kind: name of its identity, after refinement where the model has one; None for a renderer without identities.
        kind_probabilities: of every identity by name, as calibrated, that of ``kind`` the largest: the network's, or as
            sure as the fits of exchanged identities differ (``Refinement``); None as ``kind``.
        code: posterior mean of its appearance; None for a renderer with identities.
        pose: the renderer's coordinates by name, in the renderer's units. An angle lies within half its identity's
            period of 0; it is None where the identity looks the same from all sides.
        pose_sd: the posterior sd of each coordinate of ``pose``, in its unit (``Coordinate.spread``), of an angle the
            circular one; None as there.
        window: corners (x, y) of the region where the network reads appearance, pixels of the image given.
        box: x0, y0, x1, y1 around all that the renderer draws of it, hidden parts too, in pixels of the image
            given, from the upper left corner, ends excluded; None if it draws nothing.
        confidence: posterior probability that it is there, q(n >= i | x) for the i-th object.
        segmentation: its visible pixels in the image given, as COCO's compressed run lengths, if they were asked for;
            those of a slot that is likelier absent are all that it would cover.
        frames: where its model is, ``unit`` (m, cm or mm) and for ``world`` and ``camera`` the rotation ``R``, nine
            numbers row by row, and the translation ``t``, model to frame (``Renderer.frames``); None: the renderer
            does not know.
    """

    kind: str | None
    kind_probabilities: dict[str, float] | None
    code: tuple[float, ...] | None
    pose: dict[str, float | None]
    pose_sd: dict[str, float | None]
    window: tuple[Point, ...]
    box: tuple[float, float, float, float] | None
    confidence: float
    segmentation: Segmentation | None = None
    frames: dict[str, Any] | None = None


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        width, height: of the image given, pixels.
        count: number of objects, the likeliest one.
        count_probabilities: q(n | x) for n = 0 to the model's slots.
        objects: the objects, ``count`` of them, in the order they were found.
        slots: all of the model's slots, the objects first, if they were asked for; ``confidence`` is the probability
            that each is there.
        reconstruction_error: root mean square, over channels and pixels, of the image as the model sees it less what
            it draws of its answer, values in [0, 1]; None: not told. See ``Model.is_unlike``.
        scene: the coordinates of the scene by name (``Renderer.scene``), in the renderer's units; None: it has none.
        scene_sd: the posterior sd of each, in its unit.
    """

    width: int
    height: int
    count: int
    count_probabilities: tuple[float, ...]
    objects: tuple[FoundObject, ...]
    slots: tuple[FoundObject, ...] | None = None
    reconstruction_error: float | None = None
    scene: dict[str, float] | None = None
    scene_sd: dict[str, float] | None = None

    def record(self) -> dict[str, Any]:
        """As dicts, which `json` writes; without ``slots`` and segmentations if they were not asked for, and ``scene``
        and ``frames`` where there are none."""
        told = _without_none(self, "slots", "reconstruction_error", "scene", "scene_sd")
        for name in told.keys() & {"objects", "slots"}:
            told[name] = [_without_none(found, "segmentation", "frames") for found in told[name]]
        return told


def without_segmentations(prediction: Prediction) -> Prediction:
    """As if they had not been asked for."""
    parts = [prediction.objects, *([] if prediction.slots is None else [prediction.slots])]
    objects, *slots = (tuple(replace(found, segmentation=None) for found in part) for part in parts)
    return replace(prediction, objects=objects, slots=slots[0] if slots else None)


def predictions(
    renderer: Renderer,
    seen: Inference,
    sizes: list[tuple[int, int]],
    all_slots: bool = False,
    segmented: bool = False,
) -> list[Prediction]:
    """The records of B explained images, whose own sizes (width, height) in pixels are given.

    Args:
        all_slots: whether they have ``slots``. segmented: whether objects have their ``segmentation``.

    Errors:
        ValueError where the model's answer is not finite.
    """
    for name, value in (
        ("count", seen.posterior),
        ("pose", seen.slots.where),
        ("pose's sd", seen.where_sd),
        ("identity", seen.slots.what_parameters),
        ("reconstruction", seen.reconstruction_error),
    ):
        if not bool(value.isfinite().all()):
            raise ValueError(f"the model's {name} is not finite: its weights are damaged, or its training diverged")
    identities = renderer.what.names if isinstance(renderer.what, Categorical) else None
    renderer = renderer.at(seen.scene)
    scenes = _scenes(renderer, seen)
    columns = [part.tolist() for part in _columns(renderer, seen, sizes)]
    periods = renderer.where.periods(renderer.identity_count, seen.slots.where).tolist()
    masks = _masks(renderer, seen) if segmented else None
    frames = _frames(renderer, seen)
    posterior, counts, errors = (part.tolist() for part in (seen.posterior, seen.count, seen.reconstruction_error))
    results = []
    for b, (width, height) in enumerate(sizes):
        row = [column[b] for column in columns]
        count = counts[b]
        listed = seen.slots.where.shape[1] if all_slots else count
        slots = tuple(_object(renderer, identities, periods, *(part[i] for part in row)) for i in range(listed))
        if masks is not None:
            slots = tuple(replace(s, segmentation=_scaled(mask, width, height)) for s, mask in zip(slots, masks[b]))
        if frames is not None:
            slots = tuple(replace(s, frames=_placements(frames, (b, i))) for i, s in enumerate(slots))
        told = slots if all_slots else None
        answer = count, _numbers(posterior[b]), slots[:count], told
        results.append(Prediction(width, height, *answer, rounded(errors[b]), *scenes[b]))
    return results


def _frames(renderer: Renderer, seen: Inference) -> Frames | None:
    """Of all slots; a turn that cannot be seen is none."""
    what, where = seen.slots.what.cpu(), seen.slots.where.cpu().double()
    if renderer.frames(what[:, :0], where[:, :0]) is None:
        return None
    identity = what if isinstance(renderer.what, Categorical) else torch.zeros(where.shape[:2], dtype=torch.long)
    periods = renderer.where.periods(renderer.identity_count, where)[identity]
    circular = torch.tensor([c.circular for c in renderer.where.coordinates])
    nearest = where - periods * torch.where(periods > 0, where / periods.clamp_min(1e-9), 0.0).round()
    unseen = circular & (periods == 0)
    return renderer.frames(what, torch.where(circular, nearest, where).masked_fill(unseen, 0.0))


def _placements(frames: Frames, place: tuple[int, int]) -> dict[str, Any]:
    """Of one object, as JSON has them."""
    told: dict[str, Any] = {"unit": frames.unit}
    for name, (rotation, translation) in (("world", frames.world), ("camera", frames.camera)):
        told[name] = {"R": _numbers(rotation[place].flatten().tolist()), "t": _numbers(translation[place].tolist())}
    return told


def _scenes(renderer: Renderer, seen: Inference) -> list[tuple[dict[str, float] | None, dict[str, float] | None]]:
    """The coordinates of each image's scene by name, and their sd."""
    space = renderer.scene
    if space is None or seen.scene is None or seen.scene_sd is None:
        return [(None, None)] * len(seen.count)
    spread = space.spreads(space.unconstrain(seen.scene), seen.scene_sd)
    rows = zip(seen.scene.tolist(), spread.tolist())
    return [(dict(zip(space.names, _numbers(a))), dict(zip(space.names, _numbers(b)))) for a, b in rows]


def _columns(renderer: Renderer, seen: Inference, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """(B, N, ...) of what and its probabilities or mean, where and its sd, windows and boxes in the images'
    own pixels, confidence."""
    what, where = seen.slots.what, seen.slots.where
    size = torch.tensor(sizes, dtype=torch.float32, device=where.device)
    window = (renderer.window(where) @ CORNERS.to(where) + 1) * (size[:, None, :, None] / 2)
    shown_at = size / torch.tensor(renderer.image_shape[:0:-1], dtype=size.dtype, device=size.device)
    boxes = renderer.boxes(what, where) * shown_at.repeat(1, 2).unsqueeze(1)
    space = renderer.where
    where_sd = space.spreads(space.unconstrain(where), seen.where_sd)
    parameters = seen.slots.what_parameters
    told = parameters.softmax(-1) if isinstance(renderer.what, Categorical) else parameters.chunk(2, -1)[0]
    return [
        what,
        told,
        where,
        where_sd,
        window.transpose(2, 3),
        boxes,
        presence_weights(seen.posterior),
    ]


def _object(
    renderer: Renderer, identities: tuple[str, ...] | None, periods: list[list[float]], what: Any, told: list[float],
    where: list[float], where_sd: list[float], window: list[list[float]], box: list[float], confidence: float,
) -> FoundObject:  # fmt: skip
    """periods: of every identity's coordinates, (K, P); then one object's of ``_columns``, as lists."""
    x0, y0, x1, y1 = _numbers(box)
    pose = _pose(renderer, periods[0 if identities is None else what], where)
    return FoundObject(
        kind=None if identities is None else identities[what],
        kind_probabilities=None if identities is None else dict(zip(identities, _numbers(told))),
        code=None if identities is not None else _numbers(told),
        pose=pose,
        pose_sd={name: None if pose[name] is None else sd for name, sd in zip(pose, _numbers(where_sd))},
        window=tuple((rounded(x), rounded(y)) for x, y in window),
        box=(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None,
        confidence=rounded(confidence),
    )


@torch.no_grad()
def _masks(renderer: Renderer, seen: Inference) -> NDArray[np.bool_]:
    """(B, N, H, W): what one sees of each object, and of absent slots what each would cover alone."""
    layers, height = renderer.layers(seen.slots.what, seen.slots.where), renderer.image_shape[1]
    present = torch.arange(layers.depth.shape[1], device=seen.count.device) < seen.count.unsqueeze(1)
    visible = masks(layers, present, renderer.compositing, height)
    single = each(lambda part: part.flatten(0, 1).unsqueeze(1), layers)
    alone = masks(single, torch.ones_like(present).view(-1, 1), renderer.compositing, height).view_as(visible)
    shown: NDArray[np.bool_] = torch.where(present[..., None, None], visible, alone).cpu().numpy()
    return shown


def _scaled(mask: NDArray[np.bool_], width: int, height: int) -> Segmentation:
    """A mask (H, W) in the pixels of the image given: each as the one at its middle."""
    sides = zip((height, width), mask.shape)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in sides)
    return rle(mask[rows[:, None], columns])


def _without_none(record: "Prediction | FoundObject", *names: str) -> dict[str, Any]:
    """The fields of a record, without those of these names that are None."""
    return {name: value for name, value in vars(record).items() if value is not None or name not in names}


def _pose(renderer: Renderer, periods: list[float], where: list[float]) -> dict[str, float | None]:
    pose: dict[str, float | None] = {}
    for coordinate, value, period in zip(renderer.where.coordinates, _numbers(where), periods):
        if not coordinate.circular:
            pose[coordinate.name] = value
        else:
            pose[coordinate.name] = rounded(value - period * round(value / period)) if period > 0 else None
    return pose


def _numbers(values: list[float]) -> tuple[float, ...]:
    return tuple(map(rounded, values))


def rounded(value: float) -> float:
    """Six significant digits: what float32 holds, and no more."""
    return float(f"{value:.6g}")
