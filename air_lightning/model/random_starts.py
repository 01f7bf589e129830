"""Explanations without a network: objects added one after another, each optimised from random starts."""

import math

import torch
from torch import Tensor

from air_lightning.model.evidence import evidence, log_likelihoods, slot_kl
from air_lightning.model.observation import Observation
from air_lightning.model.prior import unconstrained_from_prior, what_from_prior
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import Slots
from renderers.base import Renderer
from renderers.spaces import Categorical

SD = 0.02
"""Of the unconstrained pose, what an object's KL is computed with."""
SURE = 20.0
"""Logit of an object's identity against the others'."""


class RandomStarts:
    """What analysis by synthesis makes of an image when nothing proposes where to look.

    One more object each time: of random identity and pose, ``starts`` times over, each of them refined through the
    renderer together with the objects so far; the best goes on. What n objects are worth is ``F_n + log p(n)``, with
    an object's KL that of its identity and of a narrow pose, and the count is the best n. It costs ``starts`` times the
    refinement of all objects, for each object.

    Args:
        starts: of each object. iterations: Newton steps of each. coarseness: the first step, in units of the
            finite-difference step; a start moves about four times as far at most.
    Errors:
        ValueError for numbers out of range.
    """

    def __init__(self, starts: int = 32, iterations: int = 12, coarseness: float = 4.0) -> None:
        if starts < 1:
            raise ValueError(f"starts must be at least 1, got {starts}")
        Refinement(iterations, coarseness=coarseness)  # what it cannot do shows here
        self.starts, self.iterations, self.coarseness = starts, iterations, coarseness

    @torch.no_grad()
    def __call__(
        self, renderer: Renderer, observation: Observation, log_prior: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Slots]:
        """The posterior over the count (B, N + 1), and the slots (B, N) of which the likeliest number are there.

        log_prior: log p(n), (N + 1,). generator: of the starts, on the CPU.

        Raises:
            ValueError: the renderer has no identities.
        """
        if not isinstance(renderer.what, Categorical):
            raise ValueError(f"random starts are of identities, and {type(renderer).__name__} has a continuous `what`")
        refinement = Refinement(self.iterations, identities=renderer.identity_count, coarseness=self.coarseness)
        images = torch.arange(len(observation.images), device=log_prior.device)
        rows = images.repeat_interleave(self.starts)
        many = observation.of(rows)
        found: list[Slots] = []
        worth = [log_likelihoods(_empty(renderer, observation), observation)[:, 0]]
        for n in range(1, len(log_prior)):
            new = _placed(renderer, *_random(renderer, len(rows), generator, log_prior.device))
            slots = _joined(found[-1].of(rows), new) if found else new
            exactly_n = torch.full((n + 1,), -math.inf, device=log_prior.device)
            exactly_n[n] = 0.0
            slots = refinement(renderer, many, slots, slot_kl(renderer, slots), exactly_n)
            slots = _placed(renderer, slots.what, slots.where)
            canvases = renderer.render(slots.what, slots.where, many.background)
            values = evidence(log_likelihoods(canvases, many), slot_kl(renderer, slots))[:, n].view(-1, self.starts)
            best, index = values.max(1)
            worth.append(best)
            found.append(slots.of(images * self.starts + index))
        posterior = (torch.stack(worth, 1) + log_prior).softmax(1)
        return posterior, _chosen(found, posterior.argmax(1))


def _random(renderer: Renderer, rows: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Identities (rows, 1) and poses (rows, 1, P) from the prior."""
    what = what_from_prior(renderer, (rows, 1), random=generator)
    u = unconstrained_from_prior(renderer.where, (rows, 1), random=generator)
    return what.to(device), renderer.where.constrain(u.to(device))


def _placed(renderer: Renderer, what: Tensor, where: Tensor) -> Slots:
    """Slots of these identities (B, N) and poses (B, N, P), and as sure of them as of all."""
    kinds = renderer.identity_count
    options = where.unsqueeze(2).expand(-1, -1, kinds, -1)
    mean = renderer.where.unconstrain(options)
    logits = SURE * torch.nn.functional.one_hot(what, kinds).to(where)
    noise = torch.zeros_like(where).unsqueeze(2)
    return Slots(torch.zeros_like(where[..., 0]), what, where, options, mean, torch.full_like(mean, SD), logits, noise)


def _joined(slots: Slots, more: Slots) -> Slots:
    return Slots(*(torch.cat(parts, 1) for parts in zip(slots, more)))


def _empty(renderer: Renderer, observation: Observation) -> Tensor:
    """The canvas (B, 1, C, H, W) without objects."""
    behind = renderer.image_background() if observation.background is None else observation.background
    return behind.expand_as(observation.images).unsqueeze(1)


def _chosen(found: list[Slots], count: Tensor) -> Slots:
    """Of each image the slots that were found for its count, and after them whichever."""
    slots = found[-1]
    for n, of_n in enumerate(found[:-1], 1):
        padded = Slots(*(torch.cat([part, last[:, n:]], 1) for part, last in zip(of_n, found[-1])))
        slots = padded.where_true(count == n, slots)
    return slots
