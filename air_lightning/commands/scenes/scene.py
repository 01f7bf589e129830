"""What is written: scenes one by one, and what is known of all of them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.base import Batch, SceneDataModule, Scenes
from renderers.base import Renderer
from renderers.spaces import Categorical

Float = NDArray[np.float32]


class Thing(NamedTuple):
    """A true object.

    Attributes:
        identity: its number, -1: not told. name: of its identity, None: not told.
        pose: coordinates by name, NaN as None. box: x0, y0, x1, y1 in pixels, ends excluded, of all of it, hidden parts
            too. mask: (H, W), its visible pixels. Both may be None.
    """

    identity: int
    name: str | None
    pose: dict[str, float | None]
    box: tuple[float, float, float, float] | None
    mask: NDArray[np.bool_] | None


class Scene(NamedTuple):
    """A scene.

    Attributes:
        number: its own in the split. image: (C, H, W) in [0, 1]. things: its objects.
        depth: (H, W) in the unit of positions, infinite where no object is; None: not known.
    """

    number: int
    image: Float
    things: tuple[Thing, ...]
    depth: Float | None

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Of the objects, (n, H, W)."""
        given = [thing.mask for thing in self.things if thing.mask is not None]
        return np.stack(given) if given else np.zeros((0, *self.image.shape[1:]), np.bool_)


class Facts(NamedTuple):
    """What is known of all scenes.

    Attributes:
        data: the data module's name. split: which scenes. count: how many are written. most: objects a scene holds.
        image_shape: (C, H, W). identities: their names; None: not told. coordinates: of poses, by name.
        boxes, masks, depth: whether they are known. renderer: what draws, or the model's; None: there is none.
    """

    data: str
    split: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    most: int
    image_shape: tuple[int, int, int]
    identities: tuple[str, ...] | None
    coordinates: tuple[str, ...]
    boxes: bool
    masks: bool
    depth: bool
    renderer: Renderer | None

    def check(self, form: str, what: str, known: bool, remedy: str) -> None:
        """ValueError where a format needs what is not known."""
        if not known:
            raise ValueError(f"--format {form} needs {what}, which {self.data} does not tell: {remedy}")


class Source:
    """The scenes of one split of a data module, and what is known of them.

    Errors:
        ValueError for data without a truth, and for more scenes than there are.
    """

    def __init__(self, data: SceneDataModule, split: str, count: int, renderer: Renderer | None) -> None:
        name = type(data).__name__
        if not data.has_truth:
            raise ValueError(
                f"{name} knows no truth of its images, and scenes are written with theirs: choose data that does, "
                "Scenes3D, MultiSprites or MultiMNIST, for example"
            )
        self.scenes: Scenes = data.detailed(split)
        there = len(self.scenes) if hasattr(self.scenes, "__len__") else count
        if count > there:
            raise ValueError(f"--count {count} is more than the {there} scenes of {name}'s {split} split: lower it")
        first = self.scenes.__getitems__([0])
        channels, height, width = first.images.shape[1:]
        self.facts = Facts(
            name, split, count, max(1, data.largest_count), (channels, height, width), _identities(data, renderer),
            _coordinates(data, renderer), first.boxes is not None, first.masks is not None,
            self.scenes.depth([0]) is not None, renderer,
        )  # fmt: skip

    def batch(self, numbers: Sequence[int]) -> Iterator[Scene]:
        """The scenes of these numbers, drawn together."""
        batch = self.scenes.__getitems__(list(numbers))
        depths = self.scenes.depth(list(numbers))
        parts = Batch(*[None if part is None else part.cpu() for part in batch])  # type: ignore[arg-type]
        for row, number in enumerate(numbers):
            things = tuple(self._thing(parts, row, slot) for slot in range(int(parts.count[row])))
            depth = None if depths is None else depths[row].cpu().numpy()
            yield Scene(number, parts.images[row].numpy(), things, depth)

    def _thing(self, batch: Batch, row: int, slot: int) -> Thing:
        names, identity = self.facts.identities, int(batch.what[row, slot])
        told = names is not None and identity >= 0
        values = batch.where[row, slot].tolist()
        pose = {name: None if value != value else value for name, value in zip(self.facts.coordinates, values)}
        return Thing(
            identity if told else -1,
            names[identity] if names is not None and told else None,
            pose,
            None if batch.boxes is None else _corners(batch.boxes[row, slot].tolist()),
            None if batch.masks is None else batch.masks[row, slot].numpy(),
        )


def _corners(box: list[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _identities(data: SceneDataModule, renderer: Renderer | None) -> tuple[str, ...] | None:
    if not data.has_identities:
        return None
    if data.identity_names is not None or renderer is None:
        return data.identity_names
    return renderer.what.names if isinstance(renderer.what, Categorical) else None


def _coordinates(data: SceneDataModule, renderer: Renderer | None) -> tuple[str, ...]:
    if renderer is not None:
        return data.coordinates(renderer)
    if type(data).coordinates is SceneDataModule.coordinates:
        raise ValueError(
            f"{type(data).__name__} gives poses in the coordinates of the model's renderer, and there is none: give a "
            "--config with a model, or --model.renderer"
        )
    nobody: Any = None  # data with coordinates of its own does not look at it
    return data.coordinates(nobody)
