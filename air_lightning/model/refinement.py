"""Refinement: a few finite-difference steps on each slot's pose through the renderer, after the network's guess."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.model.evidence import evidence, log_likelihoods
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of
from renderers.base import Renderer
from renderers.spaces import Categorical

STEPS = 5
"""Newton steps from each of several starts."""
SCAN_EVERY = 4
"""Steps of an exchanged identity between scans of its angles."""
ALONG = tuple((move, before) for move in (0.0, 0.35, 0.8, 1.5) for before in (-0.5, 0.0, 0.8))
"""How much of a step, and of the one before it, is tried at once."""


class Problem(NamedTuple):
    """What poses are refined against. kl: (B, N), the slots' KL. log_prior: log p(n), (N + 1,)."""

    renderer: Renderer
    observation: Observation
    kl: Tensor
    log_prior: Tensor

    def weights(self, slots: Slots) -> Tensor:
        """(B, N, N + 1): the posterior over n, and a little of the slot's own canvas so that none is left without."""
        canvases = self.renderer.render(slots.what, slots.where, self.observation.background)
        return self._weights(log_likelihoods(canvases, self.observation))

    def count_posterior(self, log_likelihood: Tensor) -> Tensor:
        """(B, N + 1), of log likelihoods of the canvases."""
        return (evidence(log_likelihood, self.kl) + self.log_prior).softmax(1)

    def weights_of(self, losses: Tensor) -> Tensor:
        """The same without drawing, of the canvases' losses (B, N, N + 1) with every slot as it is, see ``swaps``.

        Canvas n with slot n left out is canvas n - 1, and all that counts is what one is worth more than another.
        """
        gains = losses[..., 1:].diagonal(dim1=1, dim2=2)
        return self._weights(-torch.cat([torch.zeros_like(gains[:, :1]), gains.cumsum(1)], 1))

    def _weights(self, log_likelihood: Tensor) -> Tensor:
        posterior = self.count_posterior(log_likelihood)
        own = torch.eye(posterior.shape[1], device=posterior.device)[1:]
        return posterior.unsqueeze(1) + 0.05 * own

    def swaps(self, slots: Slots, other_what: Tensor, other_where: Tensor) -> Tensor:
        """Pixel losses (B, N, M, N + 1), nats, of M alternatives for every slot, less those without it."""
        images, loss, background = self.observation[:3]
        return self.renderer.swap_losses(images, slots.what, slots.where, other_what, other_where, loss, background)

    def losses(self, slots: Slots, other_what: Tensor, other_where: Tensor, weights: Tensor) -> Tensor:
        """Weighted pixel losses (B, N, M) of the alternatives."""
        return weighted(self.swaps(slots, other_what, other_where), weights)


def weighted(losses: Tensor, weights: Tensor) -> Tensor:
    """Losses (B, N, M) of those of all canvases (B, N, M, N + 1), weighted by (B, N, N + 1)."""
    return (losses * weights.unsqueeze(2)).sum(-1)


class Refinement:
    """Newton steps, coordinate by coordinate, on the canvases' pixel losses.

    Each slot's coordinates are moved up and down by a step, the parabola through the three losses gives the move,
    at most one step long. Losses are those of all canvases that show the slot, weighted by the exact posterior over
    the count at the present poses. Steps shrink as it goes on. First, each slot's likeliest identities are tried, and
    angles scanned over their period, which gets a slot out of the wrong one of two similar views. An identity that fits
    better than the network's likeliest takes its probability.

    A wrong angle pulls the place off, where a scan then finds the wrong angle again: with ``starts`` each is refined
    with the place for itself, and the best kept. What a renderer smears, its hard edges, costs exactness: with
    ``samples`` the last steps are of one that draws finer.

    Identities whose sizes or feet differ do not fit where another one does: a ball on a cube's foot is seen higher.
    With ``exchange`` each takes steps of its own from where the slot is found, all other slots as they are, before the
    best is kept (``exchanged``), at the scene's refined coordinates. The slot's angle may say nothing of it (a ball's
    of a cube), so that its angles are scanned, and again on its way. Its size, depth and angle hang together, and
    coordinates that each move by a step of their own overshoot: along the step and the one before it the best of twelve
    is taken, as conjugate gradients do (Nocedal & Wright 2006, ch. 5), and none where it was better before.

    Args:
        iterations: Newton steps.
        scan: angles tried over the period; 0 or 1 tries only the network's.
        identities: how many of the likeliest identities are tried, each at its own pose; 1: only the network's.
        coarseness: the first step, in units of each coordinate's finite-difference step.
        starts: angles over the period from which place and angle are refined together, five steps each; identities are
            then tried where the slot is, too, and not at their own poses alone. 0: none.
        samples: factor on the renderer's samples a pixel and direction, in as many steps again; 1: none are added.
        exchange: Newton steps that each of the likeliest identities takes at last, drawn with ``samples``; 0: none.
    """

    def __init__(
        self,
        iterations: int = 8,
        scan: int = 8,
        identities: int = 4,
        coarseness: float = 2.0,
        starts: int = 0,
        samples: int = 1,
        exchange: int = 0,
    ) -> None:
        numbers = {"iterations": (iterations, 0), "scan": (scan, 0), "identities": (identities, 1)}
        numbers |= {"starts": (starts, 0), "samples": (samples, 1), "exchange": (exchange, 0)}
        for name, (value, least) in numbers.items():
            if value < least:
                raise ValueError(f"refinement's {name} must be at least {least}, got {value}")
        if not 0 < coarseness < math.inf:
            raise ValueError(
                f"refinement's coarseness must be positive and finite, got {coarseness}: 2 starts with double steps"
            )
        self.iterations, self.scan, self.identities, self.coarseness = iterations, scan, identities, coarseness
        self.starts, self.samples, self.exchange = starts, samples, exchange

    @torch.no_grad()
    def __call__(
        self, renderer: Renderer, observation: Observation, slots: Slots, kl: Tensor, log_prior: Tensor
    ) -> Slots:
        """``slots`` refined. kl: (B, N), the slots' KL. log_prior: log p(n), (N + 1,)."""
        problem = Problem(renderer, observation, kl, log_prior)
        if self.iterations:
            slots = self._scanned(problem, slots, problem.weights(slots))
        if self.starts and renderer.where.circular:
            slots = self._best_start(problem, slots)
        slots = stepped(problem, slots, self.iterations, self.coarseness)
        if self.samples > 1:
            finer = problem._replace(renderer=renderer.finer(self.samples))
            slots = stepped(finer, slots, self.iterations, self.coarseness / 2, problem.weights(slots))
        return slots

    @torch.no_grad()
    def exchanged(
        self, renderer: Renderer, observation: Observation, slots: Slots, kl: Tensor, log_prior: Tensor
    ) -> Slots:
        """The slots with the best of the likeliest identities, each fitted where the slot is. Arguments as of a call.

        Which identity a slot has is then as sure as their fits differ: ``what_parameters`` are their log likelihoods.
        """
        if not self.exchange or not isinstance(renderer.what, Categorical):
            return slots
        problem = Problem(renderer.finer(self.samples), observation, kl, log_prior)
        weights = problem.weights(slots)
        likeliest = slots.what_parameters.topk(min(self.identities, renderer.identity_count), -1).indices
        options = [(slots.what, slots.where)]
        for what in likeliest.unbind(2):
            options.append((what, self._fitted(problem, slots, what, weights)))
        what, where = (torch.stack(parts, 2) for parts in zip(*options))
        losses = problem.losses(slots, what, where, weights)
        best = losses.argmin(2)
        return slots._replace(
            what=_selected(what, best),
            where=_selected(where, best),
            what_parameters=_told(slots.what_parameters, what, losses),
        )

    def _fitted(self, problem: Problem, slots: Slots, what: Tensor, weights: Tensor) -> Tensor:
        """Poses (B, N, P) of other identities (B, N), each from where the slot is, all others as they are."""
        where, before = slots.where, torch.zeros_like(slots.where)
        for k, size in enumerate(_sizes(problem, self.exchange, 1.5 * self.coarseness, where, 0.85)):
            if k % SCAN_EVERY == 0:
                where, before = self._best_turn(problem, slots, weights, what, where), torch.zeros_like(where)
            move = _move(problem, slots, weights, size, (what, where))
            tries = torch.stack([a * move + b * before for a, b in ALONG], 2)
            places = problem.renderer.where.clamp(where.unsqueeze(2) + tries)
            best = _best(problem, slots, weights, what, places)
            where, before = _selected(places, best), _selected(tries, best)
        return where

    def _best_turn(self, problem: Problem, slots: Slots, weights: Tensor, what: Tensor, where: Tensor) -> Tensor:
        """Poses (B, N, P) of other objects in the slots' places, turned to the best of the angles scanned."""
        turned = _turns(problem.renderer, what.unsqueeze(2), where.unsqueeze(2), self.scan)
        if turned.shape[2] == 1:
            return where
        return _selected(turned, _best(problem, slots, weights, what, turned))

    def _best_start(self, problem: Problem, slots: Slots) -> Slots:
        """The best pose of those refined from several angles, slot by slot."""
        weights, poses = problem.weights(slots), [slots.where]
        turns = _turns(problem.renderer, slots.what.unsqueeze(2), slots.where.unsqueeze(2), self.starts)
        for turned in turns.unbind(2):
            start = slots._replace(where=turned)
            poses.append(stepped(problem, start, STEPS, 0.75 * self.coarseness, weights).where)
        where = torch.stack(poses, 2)
        return slots._replace(where=_selected(where, _best(problem, slots, weights, slots.what, where)))

    def _scanned(self, problem: Problem, slots: Slots, weights: Tensor) -> Slots:
        """The best of the likeliest identities and of turns over their periods, slot by slot."""
        renderer = problem.renderer
        what, where = slots.what.unsqueeze(2), slots.where.unsqueeze(2)
        if isinstance(renderer.what, Categorical) and self.identities > 1:
            what = slots.what_parameters.topk(min(self.identities, renderer.identity_count), -1).indices
            index = what.unsqueeze(-1).expand(*what.shape, slots.where.shape[-1])
            where = slots.where_by_identity.gather(2, index)
            if self.starts:
                what, where = what.repeat(1, 1, 2), torch.cat([where, slots.where.unsqueeze(2).expand_as(where)], 2)
        where, tried = _turns(renderer, what, where, self.scan), where.shape[2]
        what = what.repeat(1, 1, where.shape[2] // tried, *[1] * (what.dim() - 3))
        if where.shape[2] == 1:
            return slots
        best = problem.losses(slots, what, where, weights).argmin(2)
        slots = slots._replace(what=_selected(what, best), where=_selected(where, best))
        if not isinstance(renderer.what, Categorical):
            return slots
        return slots._replace(what_parameters=_likeliest(slots.what_parameters, slots.what))


def _turns(renderer: Renderer, what: Tensor, where: Tensor, parts: int) -> Tensor:
    """Poses (B, N, M, P), first as they are, then turned by parts of their periods: (B, N, T M, P), turn by turn."""
    periods, turned = periods_of(renderer, what, where), [where]
    for j in renderer.where.circular:
        for part in range(1, parts):
            other = where.clone()
            other[..., j] += periods[..., j] * (part / parts)
            turned.append(other)
    return torch.cat(turned, 2)


def stepped(problem: Problem, slots: Slots, iterations: int, coarseness: float, weights: Tensor | None = None) -> Slots:
    """The slots after so many Newton steps, of which the first are ``coarseness`` finite-difference steps long.

    weights: of all steps; None: those of the poses as they are.
    """
    for size in _sizes(problem, iterations, coarseness, slots.where):
        move = _move(problem, slots, weights, size)
        slots = slots._replace(where=problem.renderer.where.clamp(slots.where + move))
    return slots


def _sizes(problem: Problem, iterations: int, coarseness: float, like: Tensor, shrinking: float = 0.75) -> list[Tensor]:
    """The longest that each of so many steps may be, (P,); the first ``coarseness`` finite-difference steps."""
    own = problem.renderer.where.steps(like)
    return [own * coarseness * max(shrinking**step, 0.15) for step in range(iterations)]


def _move(
    problem: Problem, slots: Slots, weights: Tensor | None, size: Tensor, other: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Each coordinate's Newton step, at most ``size`` (P,); downhill where the loss is not convex.

    weights: None: those of the poses as they are. other: what and where of another object in each slot's place, that
    is moved; None: the slot itself.
    """
    what, where = (slots.what, slots.where) if other is None else other
    moves = torch.diag(size)
    others = where.unsqueeze(2) + torch.cat([moves, -moves, torch.zeros_like(moves[:1])])
    what = what.unsqueeze(2).expand(*others.shape[:3], *what.shape[2:])
    swaps = problem.swaps(slots, what, others)
    losses = weighted(swaps, problem.weights_of(swaps[:, :, -1]) if weights is None else weights)
    up, down, here = losses[..., : len(size)], losses[..., len(size) : -1], losses[..., -1:]
    return newton_step(up, down, here) * size


def _best(problem: Problem, slots: Slots, weights: Tensor, what: Tensor, where: Tensor) -> Tensor:
    """Which of poses (B, N, M, P) of objects (B, N) or (B, N, D) in the slots' places fits best, (B, N)."""
    what = what.unsqueeze(2).expand(*where.shape[:3], *what.shape[2:])
    return problem.losses(slots, what, where, weights).argmin(2)


def newton_step(up: Tensor, down: Tensor, here: Tensor) -> Tensor:
    """Towards the lowest point of the parabola through losses a step up, a step down and here; in steps, one at most.

    Downhill where the losses are not convex.
    """
    slope, curve = (up - down) / 2, up + down - 2 * here
    newton = (-slope / curve.clamp_min(1e-6)).clamp(-1, 1)
    downhill = torch.sign(-slope) * (torch.minimum(up, down) < here)
    return torch.where(curve > 1e-6, newton, downhill)


def _likeliest(logits: Tensor, what: Tensor) -> Tensor:
    """Logits (B, N, K), those of ``what`` (B, N) and of the likeliest exchanged: which it is the fit knows better."""
    own, first = what.unsqueeze(2), logits.argmax(2, keepdim=True)
    return logits.scatter(2, first, logits.gather(2, own)).scatter(2, own, logits.gather(2, first))


def _told(logits: Tensor, what: Tensor, losses: Tensor) -> Tensor:
    """Logits (B, N, K) of identities what (B, N, M) with losses (B, N, M); those that were not tried fall below."""
    worst = losses.amax(2, keepdim=True)
    told = (logits.log_softmax(2) - worst).scatter_reduce(2, what, -losses, "amax", include_self=False)
    return told - told.amax(2, keepdim=True)


def _selected(options: Tensor, best: Tensor) -> Tensor:
    """Of options (B, N, M, ...) those of indices (B, N)."""
    rows, columns = torch.meshgrid(*(torch.arange(n, device=best.device) for n in best.shape), indexing="ij")
    return options[rows, columns, best]
