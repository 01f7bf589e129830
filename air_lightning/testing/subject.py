"""The renderer under test, and objects and scenes for it to draw."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer, coverage
from renderers.spaces import Categorical, Gaussian


class Scenes(NamedTuple):
    """B scenes of N slots, each slot with M alternatives; images and incoming gradients are random."""

    what: Tensor
    where: Tensor
    other_what: Tensor
    other_where: Tensor
    images: Tensor
    incoming: Tensor


class Subject:
    """A renderer and how it was made.

    Args:
        renderer: to be checked. arguments: those it was built with; None where they are not known.
        build: makes another one alike; None where it was given as it is.
    """

    def __init__(
        self, renderer: Renderer, build: Callable[[], Renderer] | None, arguments: dict[str, Any] | None
    ) -> None:
        self.renderer, self.build, self.arguments = renderer, build, arguments

    @property
    def name(self) -> str:
        return type(self.renderer).__name__

    def overrides(self, method: str) -> bool:
        """Whether the renderer has its own ``method`` in place of the base class's."""
        return getattr(type(self.renderer), method) is not getattr(Renderer, method)

    def objects(self, number: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """``what`` and ``where`` of objects all over the support; every identity comes in turn."""
        random = torch.Generator().manual_seed(seed)
        space, device = self.renderer.what, self.renderer.device
        where = self._poses(torch.randn(number, len(self.renderer.where), generator=random))
        if isinstance(space, Gaussian):
            what = torch.randn(number, space.dim, generator=random)
        else:
            what = torch.arange(number) % len(space)
        return what.to(device), where.to(device)

    def scenes(self, batch: int = 6, slots: int = 3, others: int = 3, seed: int = 0) -> Scenes:
        """Scenes in which objects reach the ends of the support; in half of them they lie in heaps.

        Opaque objects of one scene are all of different identities, so there may be fewer slots: parts of one identity
        may lie in one plane, and of equal depths rounding chooses.
        """
        random = torch.Generator().manual_seed(seed)
        renderer = self.renderer
        if renderer.compositing == "zbuffer" and isinstance(renderer.what, Categorical):
            slots = min(slots, renderer.identity_count)
        shape = (batch, slots, others + 1)
        where = self._poses(torch.randn(*shape, len(renderer.where), generator=random))
        heaps = where[: batch // 2]
        heaps[:] = heaps[:, :1, :1] + 0.1 * torch.randn(heaps.shape, generator=random)
        where = renderer.where.clamp(where)
        if isinstance(renderer.what, Categorical):
            what = _own_identities(
                torch.randint(renderer.identity_count, shape, generator=random), renderer.identity_count
            )
        else:
            what = torch.randn(*shape, renderer.what.dim, generator=random)
        images = torch.rand(batch, *renderer.image_shape, generator=random)
        incoming = torch.randn(batch, slots + 1, *renderer.image_shape, generator=random)
        parts = (what[:, :, 0], where[:, :, 0], what[:, :, 1:], where[:, :, 1:], images, incoming)
        return Scenes(*(part.to(renderer.device) for part in parts))

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        with torch.no_grad():
            return self.renderer.draw(what, where)

    @cached_property
    def visible_objects(self) -> tuple[Tensor, Tensor, Tensor]:
        """``what``, ``where`` and what shows, (M, H, W) bool: at least half as much as where it shows most."""
        what, where = self.objects(48)
        shown = coverage(self.draw(what, where), self.renderer.compositing)
        most = shown.flatten(1).amax(1)[:, None, None]
        return what, where, (shown > 0.5 * most) & (most > 0)

    @cached_property
    def tolerance(self) -> float:
        """Share of the largest number within which sums over images must agree.

        Looser where an object's numbers depend on what is drawn beside it, if only by rounding.
        """
        what, where = self.objects(64)
        color, rolled = self.draw(what, where).color, self.draw(what.roll(5, 0), where.roll(5, 0)).color
        return 2e-5 if torch.equal(rolled, color.roll(5, 0)) else 5e-3

    def _poses(self, u: Tensor) -> Tensor:
        space = self.renderer.where
        return space.clamp(space.constrain(1.5 * u))


def _own_identities(what: Tensor, identity_count: int) -> Tensor:
    """Of N slots one takes identities 0, N, 2 N ..., one 1, N + 1 ...; which one, goes round from scene to scene."""
    batch, slots = what.shape[:2]
    if slots > identity_count:
        return what
    first = (torch.arange(batch)[:, None, None] + torch.arange(slots)[None, :, None]) % slots
    choices = (identity_count - first + slots - 1) // slots
    return first + slots * (what % choices)


def worst(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """Largest difference, infinity where just one is infinite or no number; and the share of numbers that differ.

    Two numbers differ by more than 1e-4 of the largest expected one (of at least 1).
    """
    same = found == expected
    gap = torch.where(same, 0.0, (found - expected).abs()).nan_to_num(torch.inf, torch.inf)
    finite = expected[expected.isfinite()]
    scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    if not gap.numel():
        return 0.0, 0.0
    return float(gap.max()), float((gap > 1e-4 * scale).double().mean())


def differences(found: Layer, expected: Layer) -> dict[str, float]:
    """Largest differences of those parts of layers that differ in more than 2 of 1000 numbers.

    Rounding may move an edge by a pixel here and there.
    """
    parts = {}
    for name, a, b in zip(Layer._fields, found, expected):
        if a is not None and b is not None:
            gap, share = worst(a, b)
            if share > 0.002:
                parts[name] = gap
    return parts


def in_words(parts: dict[str, float]) -> str:
    """``differences`` for people."""
    return ", ".join(f"{name} by up to {gap:.3g}" for name, gap in parts.items())
