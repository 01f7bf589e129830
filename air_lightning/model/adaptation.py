"""What all images of a data set share and nobody knows, learnt from images without labels: their light, for example.

In turn the model explains some images, and the renderer's shared coordinates are fitted to them, by central finite
differences and robust Gauss-Newton steps (Levenberg 1944; Triggs et al. 2000, section 4).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from air_lightning.model.observation import Observation
from renderers.base import Renderer
from renderers.first_process import is_first_process, warn
from renderers.spaces import Coordinate, Where

MOST_STEPS, SMALL = 6, 0.01
"""Gauss-Newton steps at a time, and the gain, as a share of the misfit, under which they end."""
FEW, POOR = 200, 1.3
"""Pixels, and a misfit, beyond which a fit is poor."""
AROUND, LEVELS, KEPT = 8, (-0.7, 0.7), 2
"""Starts: so many angles a turn and these levels of every other coordinate, of which so many are followed."""


class Explained(NamedTuple):
    """Images and what is drawn of them: slots (B, N, ...), of which the first ``count`` (B,) are there."""

    observation: Observation
    what: Tensor
    where: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count


class Fit(NamedTuple):
    """What a fit has found.

    Attributes:
        values: of the renderer's shared coordinates, by name, in their own units.
        misfit: root mean square of what is left in pixels that are no background, robust, in units of the noise.
        before: likewise, before the first fit; the misfit is no larger, for values that leave more are not kept.
        pixels: their number.
    """

    values: dict[str, float]
    misfit: float
    before: float
    pixels: int

    @property
    def poor(self) -> bool:
        """Whether what was found is not to be trusted: little to see, or much that is left."""
        return self.pixels < FEW or self.misfit > POOR


class Adaptation:
    """Learns what all images share (``Renderer.shared``) from some of them, explaining and fitting in turn.

    Args:
        images: of the data set, the first by number.
        scales: factors on the noise's scale, one for each turn: while little is known much counts as noise.
        power: of the likelihood against the coordinates' prior, in (0, 1]: what a renderer cannot draw is alike in all
            images, so that they tell less than as many of its own would.
        at: training steps before which it is done; a model that is trained from scratch explains nothing at first.
    Errors:
        ValueError for values out of range.
    """

    def __init__(
        self,
        images: int = 32,
        scales: Sequence[float] = (3.0, 2.0, 1.0),
        power: float = 0.1,
        at: Sequence[int] = (0,),
    ) -> None:
        if images < 1:
            raise ValueError(f"adaptation's images must be at least 1, got {images}: 32 is usual")
        if not scales or not all(scale > 0 for scale in scales):
            raise ValueError(f"adaptation's scales must be one or more positive factors, got {list(scales)}")
        if not 0 < power <= 1:
            raise ValueError(f"adaptation's power must lie in (0, 1], got {power}: 0.1 is usual")
        if any(step < 0 for step in at):
            raise ValueError(f"adaptation's steps must not be negative, got {list(at)}")
        self.images, self.scales, self.power, self.at = images, tuple(scales), power, frozenset(at)

    @torch.no_grad()
    def __call__(self, renderer: Renderer, observation: Observation, explain: Callable[[Observation], Any]) -> Fit:
        """Fit the renderer to the observed images; it draws with what is found from then on.

        An explanation under a wrong light agrees with that light, so that the two can hold each other up. Where much is
        left of the images, it is done again from angles elsewhere around, and what leaves the least is kept: the values
        themselves where none leaves less, as with few images that the renderer draws well already.

        explain: what is inferred of images, with ``count`` (B,) and ``slots``; it is asked once a turn.
        """
        assert renderer.shared is not None
        fits, own = list[Fit](), renderer.shared_values.clone()
        for start in _starts_around(renderer.shared, own):
            renderer.share(start)
            fits.append(self._from_here(renderer, observation, explain))
            if fits[-1].misfit <= POOR:
                break
        unchanged = fits[0]._replace(values=dict(zip(renderer.shared.names, own.tolist())), misfit=fits[0].before)
        best = min((*fits, unchanged), key=lambda fit: fit.misfit)
        renderer.share(observation.images.new_tensor(list(best.values.values())))
        return best._replace(before=fits[0].before)

    def _from_here(self, renderer: Renderer, observation: Observation, explain: Callable[[Observation], Any]) -> Fit:
        """From the values that the renderer draws with."""
        for turn, scale in enumerate(self.scales):
            coarse = observation._replace(loss=replace(observation.loss, scale=observation.loss.scale * scale))
            seen = explain(coarse)
            explained = Explained(coarse, seen.slots.what, seen.slots.where, seen.count)
            fine = _Problem(renderer, explained._replace(observation=observation), self.power)
            if turn == 0:
                before = fine.misfit(fine.unconstrained(renderer.shared_values))
            fit = fit_shared(renderer, explained, self.power, search=turn == 0)
        return fit._replace(misfit=fine.misfit(fine.unconstrained(renderer.shared_values)), before=before)


def _starts_around(space: Where, values: Tensor) -> Iterator[Tensor]:
    """The values themselves, then with every angle the opposite one, then a quarter turn off to either side."""
    yield values
    for turn in (0.5, 0.25, 0.75) if space.circular else ():
        other = values.clone()
        for j in space.circular:
            low, high = space.coordinates[j].low, space.coordinates[j].high
            other[j] = low + (other[j] - low + turn * (high - low)) % (high - low)
        yield other


def say(renderer: Renderer, fit: Fit) -> None:
    """Print what was found, and warn where it is not to be trusted."""
    assert renderer.shared is not None
    found = (_in_words(coordinate, fit.values[coordinate.name]) for coordinate in renderer.shared.coordinates)
    if is_first_process():
        print(f"learnt of all images: {', '.join(found)}; misfit {fit.misfit:.2f}, before {fit.before:.2f}")
        if fit.misfit == fit.before:
            print("nothing that was tried leaves less of the images than what was drawn before")
    if fit.poor:
        reason = f"only {fit.pixels} of their pixels are no background" if fit.pixels < FEW else "much is left of them"
        warn(
            f"what all images share is not well known, {reason} (misfit {fit.misfit:.2f} times the noise): give more "
            "images, a background that is theirs, or a start nearer to what they show"
        )


def _in_words(coordinate: Coordinate, value: float) -> str:
    in_degrees = {"radians": math.degrees(value), "degrees": value}.get(coordinate.unit)
    return f"{coordinate.name} {value:.2f}" if in_degrees is None else f"{coordinate.name} {in_degrees:.0f} degrees"


def fit_shared(renderer: Renderer, explained: Explained, power: float = 0.1, search: bool = True) -> Fit:
    """Fit the renderer's shared coordinates to explained images; it draws with what is found from then on.

    What is minimised are the pixels' losses, in those that differ from the background, to a ``power``, plus the
    coordinates' prior.

    Args:
        search: from many values, angles all around; otherwise from the present ones alone.
    """
    problem = _Problem(renderer, explained, power)
    start = problem.unconstrained(renderer.shared_values)
    before = problem.misfit(start)
    starts = problem.starts(start)[:KEPT] if search else [start]
    best = min((problem.descended(u) for u in starts), key=problem.cost)
    after = problem.misfit(best)  # it draws so, now
    assert renderer.shared is not None
    return Fit(dict(zip(renderer.shared.names, renderer.shared_values.tolist())), after, before, problem.size)


class _Problem:
    """Sum of squares in the unconstrained numbers u (S,) of the shared coordinates, whose prior is N(0, 1)."""

    def __init__(self, renderer: Renderer, explained: Explained, power: float) -> None:
        assert renderer.shared is not None
        self.renderer, self.explained, self.power, self.space = renderer, explained, power, renderer.shared
        images, loss, background = explained.observation[:3]
        behind = renderer.image_background() if background is None else background
        sd = loss.sd(images)
        gap = ((images - behind).abs() / sd).amax(1)
        self.chosen = gap > 1
        self.rows = torch.arange(len(images), device=images.device)
        self.rest = loss(images, images)  # of numbers that are drawn as they are
        self.size = int(self.chosen.sum())

    def constrained(self, u: Tensor) -> Tensor:
        return self.space.clamp(self.space.constrain(u))

    def unconstrained(self, values: Tensor) -> Tensor:
        return self.space.unconstrain(values)

    def residuals(self, u: Tensor) -> Tensor:
        """Whose squares add up to twice the losses: signed roots, so that they are smooth (M,)."""
        images, loss, background = self.explained.observation[:3]
        self.renderer.share(self.constrained(u))
        canvases = self.renderer.render(self.explained.what, self.explained.where, background)
        canvas = canvases[self.rows, self.explained.count]
        excess = (loss(canvas, images) - self.rest).clamp_min(0)
        roots = (2 * excess).sqrt() * (canvas - images).sign()
        return roots.movedim(1, -1)[self.chosen].flatten()

    def cost(self, u: Tensor) -> float:
        return self._cost(self.residuals(u), u)

    def misfit(self, u: Tensor) -> float:
        return float(self.residuals(u).square().mean().sqrt())

    def _cost(self, residuals: Tensor, u: Tensor) -> float:
        return float(self.power * residuals.square().sum() + self._prior(u).square().sum())

    def _prior(self, u: Tensor) -> Tensor:
        """Angles have none: all are alike."""
        straight = torch.zeros_like(u)
        straight[list(self.space.straight)] = 1
        return u * straight

    def starts(self, u: Tensor) -> list[Tensor]:
        """Values to start from, the best first: every angle around, with each level of what it goes with most."""
        found = [u]
        for j in self.space.circular:
            found = [self._at(v, j, float(v[j]) + 2 * math.pi * k / AROUND) for v in found for k in range(AROUND)]
        for j in self.space.straight[:1]:
            found = [self._at(v, j, level) for v in found for level in (float(u[j]), *LEVELS)]
        return sorted(found, key=self.cost)

    @staticmethod
    def _at(u: Tensor, j: int, value: float) -> Tensor:
        other = u.clone()
        other[j] = value
        return other

    def descended(self, u: Tensor) -> Tensor:
        """Damped Gauss-Newton steps from u, downhill only."""
        residuals, damping = self.residuals(u), 0.1
        cost = self._cost(residuals, u)
        for _ in range(MOST_STEPS):
            step = self._step(u, residuals, cost, damping)
            if step is None:
                break
            before = cost
            u, residuals, cost, damping = step
            if before - cost < SMALL * cost:
                break
        return u

    def _step(
        self, u: Tensor, residuals: Tensor, cost: float, damping: float
    ) -> tuple[Tensor, Tensor, float, float] | None:
        """A better place, its residuals and cost, and the damping to go on with; None where three tries found none."""
        slopes = self._slopes(u)
        prior = self._prior(torch.ones_like(u))
        bend = self.power * slopes.T @ slopes + prior.diag()
        slope = self.power * slopes.T @ residuals + prior * u
        for _ in range(3):
            step = torch.linalg.solve(bend + damping * bend.diagonal().clamp_min(1e-6).diag(), -slope)
            moved = (u + step.clamp(-1, 1)).clamp(-3, 3)
            moved[list(self.space.circular)] = (u + step.clamp(-1, 1))[list(self.space.circular)]
            left = self.residuals(moved)
            lower = self._cost(left, moved)
            if lower < cost:
                return moved, left, lower, damping / 4
            damping *= 8
        return None

    def _slopes(self, u: Tensor) -> Tensor:
        """Central finite differences of the residuals, (M, S)."""
        steps = self.space.steps(u) / self.space.slopes(u).clamp_min(1e-3)
        columns = []
        for j, step in enumerate(steps.clamp(max=0.5).tolist()):
            up, down = (
                self.residuals(self._at(u, j, float(u[j]) + step)),
                self.residuals(self._at(u, j, float(u[j]) - step)),
            )
            columns.append((up - down) / (2 * step))
        return torch.stack(columns, 1)
