"""What a model says of one image, as records that go to JSON as they are."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from air_lightning.distributions import presence_weights
from air_lightning.model.air import Inference
from renderers.base import Renderer
from renderers.spaces import Categorical

CORNERS = torch.tensor([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
"""Of a window in its own coordinates, (3, 4): clockwise from the upper left one."""

Point = tuple[float, float]


@dataclass(frozen=True)
class FoundObject:
    """One inferred object. Numbers have six significant digits.

    Attributes:
        kind: name of its identity, after refinement where the model has one; None for a renderer without identities.
        kind_probabilities: of every identity by name, the network's own, before refinement; None as ``kind``.
        code: posterior mean of its appearance; None for a renderer with identities.
        pose: the renderer's coordinates by name, in the renderer's units. An angle lies within half its identity's
            period of 0; it is None where the identity looks the same from all sides.
        pose_sd: the posterior sd of each coordinate of ``pose``, in its unit (``Coordinate.spread``), of an angle the
            circular one; None as there.
        window: corners (x, y) of the region where the network reads appearance, pixels of the image given.
        box: x0, y0, x1, y1 around all that the renderer draws of it, hidden parts too, in pixels of the image
            given, from the upper left corner, ends excluded; None if it draws nothing.
        confidence: posterior probability that it is there, q(n >= i | x) for the i-th object.
    """

    kind: str | None
    kind_probabilities: dict[str, float] | None
    code: tuple[float, ...] | None
    pose: dict[str, float | None]
    pose_sd: dict[str, float | None]
    window: tuple[Point, ...]
    box: tuple[float, float, float, float] | None
    confidence: float


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
        scene: the coordinates of the scene by name (``Renderer.scene``), in the renderer's units; None: it has none.
        scene_sd: the posterior sd of each, in its unit.
    """

    width: int
    height: int
    count: int
    count_probabilities: tuple[float, ...]
    objects: tuple[FoundObject, ...]
    slots: tuple[FoundObject, ...] | None = None
    scene: dict[str, float] | None = None
    scene_sd: dict[str, float] | None = None

    def record(self) -> dict[str, Any]:
        """As dicts, which `json` writes; without ``slots`` and ``scene`` where there are none."""
        left_out = [name for name in ("slots", "scene", "scene_sd") if getattr(self, name) is None]
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def predictions(
    renderer: Renderer, seen: Inference, sizes: list[tuple[int, int]], all_slots: bool = False
) -> list[Prediction]:
    """The records of B explained images, whose own sizes (width, height) in pixels are given.

    Errors:
        ValueError where the model's answer is not finite.
    """
    for name, value in (
        ("count", seen.posterior),
        ("pose", seen.slots.where),
        ("pose's sd", seen.where_sd),
        ("identity", seen.slots.what_parameters),
    ):
        if not bool(value.isfinite().all()):
            raise ValueError(f"the model's {name} is not finite: its weights are damaged, or its training diverged")
    identities = renderer.what.names if isinstance(renderer.what, Categorical) else None
    renderer = renderer.at(seen.scene)
    scenes = _scenes(renderer, seen)
    columns = _columns(renderer, seen, sizes)
    results = []
    for b, (width, height) in enumerate(sizes):
        row = [column[b] for column in columns]
        count = int(seen.count[b])
        listed = seen.slots.where.shape[1] if all_slots else count
        slots = tuple(_object(renderer, identities, *(part[i] for part in row)) for i in range(listed))
        told = slots if all_slots else None
        results.append(Prediction(width, height, count, _numbers(seen.posterior[b]), slots[:count], told, *scenes[b]))
    return results


def _scenes(renderer: Renderer, seen: Inference) -> list[tuple[dict[str, float] | None, dict[str, float] | None]]:
    """The coordinates of each image's scene by name, and their sd."""
    space = renderer.scene
    if space is None or seen.scene is None or seen.scene_sd is None:
        return [(None, None)] * len(seen.count)
    spread = space.spreads(space.unconstrain(seen.scene), seen.scene_sd)
    rows = zip(seen.scene.cpu(), spread.cpu())
    return [(dict(zip(space.names, _numbers(a))), dict(zip(space.names, _numbers(b)))) for a, b in rows]


def _columns(renderer: Renderer, seen: Inference, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """(B, N, ...) of what and its parameters, where and its sd, windows and boxes in the images' own pixels,
    confidence; on the CPU."""
    what, where = seen.slots.what, seen.slots.where
    size = torch.tensor(sizes, dtype=torch.float32, device=where.device)
    window = (renderer.window(where) @ CORNERS.to(where) + 1) * (size[:, None, :, None] / 2)
    shown_at = size / torch.tensor(renderer.image_shape[:0:-1], dtype=size.dtype, device=size.device)
    boxes = renderer.boxes(what, where) * shown_at.repeat(1, 2).unsqueeze(1)
    space = renderer.where
    where_sd = space.spreads(space.unconstrain(where), seen.where_sd)
    parts = (
        what,
        seen.slots.what_parameters,
        where,
        where_sd,
        window.transpose(2, 3),
        boxes,
        presence_weights(seen.posterior),
    )
    return [part.cpu() for part in parts]


def _object(
    renderer: Renderer, identities: tuple[str, ...] | None, what: Tensor, what_parameters: Tensor, where: Tensor,
    where_sd: Tensor, window: Tensor, box: Tensor, confidence: Tensor,
) -> FoundObject:  # fmt: skip
    x0, y0, x1, y1 = _numbers(box)
    pose = _pose(renderer, 0 if identities is None else int(what), where)
    return FoundObject(
        kind=None if identities is None else identities[int(what)],
        kind_probabilities=None if identities is None else dict(zip(identities, _numbers(what_parameters.softmax(-1)))),
        code=None if identities is not None else _numbers(what_parameters.chunk(2, -1)[0]),
        pose=pose,
        pose_sd={name: None if pose[name] is None else sd for name, sd in zip(pose, _numbers(where_sd))},
        window=tuple((x, y) for x, y in (_numbers(corner) for corner in window)),
        box=(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None,
        confidence=_numbers(confidence.unsqueeze(0))[0],
    )


def _pose(renderer: Renderer, identity: int, where: Tensor) -> dict[str, float | None]:
    periods = renderer.where.periods(renderer.identity_count, where)[identity]
    pose: dict[str, float | None] = {}
    for coordinate, value, period in zip(renderer.where.coordinates, _numbers(where), periods.tolist()):
        if not coordinate.circular:
            pose[coordinate.name] = value
        else:
            pose[coordinate.name] = rounded(value - period * round(value / period)) if period > 0 else None
    return pose


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(rounded(value) for value in values.tolist())


def rounded(value: float) -> float:
    """Six significant digits: what float32 holds, and no more."""
    return float(f"{value:.6g}")
