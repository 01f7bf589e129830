"""Rendered scenes of a few objects on a table, drawn on the fly from a counter."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.base import Batch, SceneDataModule, Scenes, checked_counts, stream, width
from renderers.base import Renderer
from renderers.compositing import masks, shown_depth
from renderers.mesh.attributes import ATTRIBUTES
from renderers.spaces import Categorical, Coordinate

POSITION = ("x", "y", "z")
# Places that are tried for the objects of a scene, and how often all of them are placed anew.
TRIES, RESTARTS = 2000, 20
# Scenes that are placed before training begins, and how many of them may find no room at once: then a scene of the run,
# which may begin again, is not left without (0.25 ** 20).
PROBES, FAILURES = 20, 5


class Scenes3D(SceneDataModule):
    """Scenes with objects apart on the table; identities, poses, attributes and counts uniform.

    Scene i of a split is a pure function of ``seed`` and i: nothing is stored and nothing repeats.

    Args:
        renderer: draws the scenes; null: the model's own renderer. Another's identities must be among the model's, by
            name.
        counts: the numbers of objects a scene may hold, equally likely; repeat one to make it likelier.
        apart: least distance between two objects' centres, in the unit of their position; times the mean of their
            sizes where the renderer's ``size`` is free.
        noise: standard deviation of independent pixel noise (images are then clipped to [0, 1]).
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule.
    Errors:
        ValueError for counts that are negative or missing, and for objects that do not fit the table.
    """

    def __init__(
        self,
        renderer: Renderer | None = None,
        counts: Sequence[int] = (0, 1, 2, 3),
        apart: float = 0.9,
        noise: float = 0.0,
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        if not (0 <= apart < math.inf and 0 <= noise < math.inf):
            raise ValueError(f"apart and noise must be finite and not negative, got apart={apart}, noise={noise}")
        self.counts, self.apart, self.noise = checked_counts(counts), apart, noise
        self.renderer = renderer

    @property
    def largest_count(self) -> int:
        return max(self.counts)

    @property
    def extent(self) -> float:
        coordinates = self._renderer().where.coordinates
        return width([coordinates[j] for j in places(coordinates)])

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        if self.renderer is None:
            return None
        channels, height, width = self.renderer.image_shape
        return channels, height, width

    @property
    def extras(self) -> tuple[str, ...]:
        return ()

    def coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        drawing = renderer if self.renderer is None else self.renderer
        self._drawn_by(drawing, "train").check()
        return drawing.where.names

    @property
    def identity_names(self) -> tuple[str, ...] | None:
        what = None if self.renderer is None else self.renderer.what
        return what.names if isinstance(what, Categorical) else None

    def scene_coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        space = (renderer if self.renderer is None else self.renderer).scene
        return () if space is None else space.names

    def scenes(self, split: str) -> "RenderedScenes":
        return self._drawn_by(self._renderer(), split)

    def detailed(self, split: str) -> "RenderedScenes":
        return self._drawn_by(self._renderer(), split, detailed=True)

    def _drawn_by(self, renderer: Renderer, split: str, detailed: bool = False) -> "RenderedScenes":
        return RenderedScenes(renderer, self.counts, self.apart, self.noise, self.seed, split, detailed)

    def _renderer(self) -> Renderer:
        if self.renderer is not None:
            return self.renderer
        model = getattr(self.trainer, "lightning_module", None)
        if model is None:
            raise ValueError(
                "Scenes3D has no renderer and no model to borrow one from: give it renderer=..., or use it in a Trainer"
            )
        renderer: Renderer = model.renderer
        return renderer


class RenderedScenes(Scenes):
    """The scenes of one split. Args as of Scenes3D; ``detailed``: whether batches hold boxes and masks."""

    def __init__(
        self,
        renderer: Renderer,
        counts: Sequence[int],
        apart: float,
        noise: float,
        seed: int,
        split: str,
        detailed: bool = False,
    ) -> None:
        check_identities(renderer)
        self.renderer, self.counts, self.apart, self.noise = renderer, counts, apart, noise
        self.seed, self.split, self.detailed = seed, split, detailed
        self.places, names = places(renderer.where.coordinates), renderer.where.names
        self.size = names.index("size") if "size" in names else None
        self.low = np.array([c.low for c in renderer.where.coordinates])
        self.span = np.array([c.high - c.low for c in renderer.where.coordinates])

    def check(self) -> None:
        """ValueError where the largest number of objects finds no room, or not with ease."""
        random, most = np.random.default_rng(0), max(self.counts)
        if sum(self._poses(random, most) is None for _ in range(PROBES)) > FAILURES:
            raise self._crowded(most)

    def __getitems__(self, indices: list[int]) -> Batch:
        truth = self._truth(indices)
        boxes, shapes = self._details(truth) if self.detailed else (None, None)
        images = self._images(indices, truth)
        return Batch(images, truth.count, truth.what, truth.where, boxes, shapes, scene=truth.scene)

    def depth(self, indices: list[int]) -> torch.Tensor | None:
        if self.renderer.compositing != "zbuffer":
            return None
        truth = self._truth(indices)
        layers = self._at(truth).layers(truth.what, truth.where)
        return shown_depth(layers, truth.present, self.renderer.compositing, self.renderer.image_shape[1])

    def _truth(self, indices: list[int]) -> "Truth":
        most = max(1, max(self.counts))
        count = np.zeros(len(indices), np.int64)
        what = np.zeros((len(indices), most), np.int64)
        where = np.zeros((len(indices), most, len(self.renderer.where)), np.float32)
        for row, index in enumerate(indices):
            identities, poses = self._scene(self._generator(index, 0))
            count[row] = len(identities)
            what[row, : len(identities)], where[row, : len(identities)] = identities, poses
        scene = self._views(indices)
        device = self.renderer.device  # where all of it stays: on a GPU nothing comes back
        n, k, p = (torch.from_numpy(part).to(device, non_blocking=True) for part in (count, what, where))
        return Truth(n, k, p, None if scene is None else scene.to(device, non_blocking=True))

    def _at(self, truth: "Truth") -> Renderer:
        """The renderer, as it draws these scenes."""
        return self.renderer.at(truth.scene)

    def _views(self, indices: list[int]) -> torch.Tensor | None:
        """The scenes' coordinates (B, S), from their prior; None where the renderer has none."""
        space = self.renderer.scene
        if space is None:
            return None
        noise = [self._generator(i, 2).normal(size=len(space)) for i in indices]
        values = space.constrain(torch.from_numpy(np.stack(noise)))
        for j in space.circular:  # uniform
            values[:, j] = torch.tensor([self._generator(i, 3 + j).uniform(-np.pi, np.pi) for i in indices])
        return space.clamp(values).float()

    def _generator(self, index: int, purpose: int) -> np.random.Generator:
        """A stream of its own for every scene and purpose (0: the objects, 1: pixel noise, from 2 on: the scene)."""
        return stream(self.seed, self.split, index, purpose)

    def _scene(self, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Identities (n,) and poses (n, P) of one scene."""
        n = self.counts[int(random.integers(len(self.counts)))]
        for _ in range(RESTARTS):
            poses = self._poses(random, n)
            if poses is not None:
                return random.integers(self.renderer.identity_count, size=n), poses
        raise self._crowded(n)

    def _poses(self, random: np.random.Generator, n: int) -> NDArray[np.float32] | None:
        """Uniform poses (n, P) of n objects, one after another; None where one of them found no place."""
        poses: list[list[float]] = []
        for _ in range(TRIES):
            if len(poses) == n:
                return np.array(poses, np.float32).reshape(n, len(self.low))
            pose = (self.low + self.span * random.random(len(self.low))).tolist()
            if all(self._gap(pose, other) >= self.apart for other in poses):
                poses.append(pose)
        return None

    def _gap(self, a: Sequence[float], b: Sequence[float]) -> float:
        """Distance between two poses (P,), in units of the objects' mean size."""
        distance = math.dist([a[j] for j in self.places], [b[j] for j in self.places])
        return distance if self.size is None else distance / ((a[self.size] + b[self.size]) / 2)

    def _crowded(self, n: int) -> ValueError:
        return ValueError(
            f"could not place {n} objects {self.apart} apart in {TRIES} tries, or not with ease: lower `apart` or the "
            f"largest of `counts` ({max(self.counts)}), or widen the renderer's pose support"
        )

    def _details(self, truth: "Truth") -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes and masks."""
        renderer = self._at(truth)
        boxes = renderer.boxes(truth.what, truth.where) * truth.present.unsqueeze(-1)
        layers = renderer.layers(truth.what, truth.where)
        return boxes, masks(layers, truth.present, renderer.compositing, renderer.image_shape[1])

    def _images(self, indices: list[int], truth: "Truth") -> torch.Tensor:
        canvases = self._at(truth).render(truth.what, truth.where)
        images = canvases[torch.arange(len(indices), device=canvases.device), truth.count]
        if self.noise:
            shape = self.renderer.image_shape
            noise = [self._generator(i, 1).normal(0, self.noise, shape) for i in indices]
            pixels = torch.from_numpy(np.stack(noise).astype(np.float32))
            images = (images + pixels.to(images.device, non_blocking=True)).clamp(0, 1)
        return images


class Truth(NamedTuple):
    """What B scenes hold: count (B,), what (B, T), where (B, T, P), and their own coordinates (B, S)."""

    count: torch.Tensor  # type: ignore[assignment]  # hides tuple.count
    what: torch.Tensor
    where: torch.Tensor
    scene: torch.Tensor | None

    @property
    def present(self) -> torch.Tensor:
        """(B, T), bool: which objects there are."""
        return torch.arange(self.what.shape[1], device=self.count.device) < self.count.unsqueeze(1)


def places(coordinates: Sequence[Coordinate]) -> list[int]:
    """Which coordinates say where an object is: x, y and z, or of others all that are no angles."""
    named = [j for j, c in enumerate(coordinates) if c.name in POSITION]
    return named or [j for j, c in enumerate(coordinates) if not c.circular and c.name not in ATTRIBUTES]


def check_identities(renderer: Renderer) -> None:
    """ValueError where scenes cannot be drawn from a renderer, for it has no identities to draw at random."""
    if not isinstance(renderer.what, Categorical):
        raise ValueError(
            f"scenes are drawn from a renderer with named identities, {type(renderer).__name__} has appearance codes "
            f"of dimension {renderer.what.dim}: choose another renderer for the data"
        )
