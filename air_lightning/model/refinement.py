"""Refinement: a few finite-difference steps on each slot's pose through the renderer, after the network's guess."""

import torch
from torch import Tensor

from air_lightning.model.evidence import evidence, log_likelihoods
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of
from renderers.base import Renderer
from renderers.spaces import Categorical


class Refinement:
    """Newton steps, coordinate by coordinate, on the canvases' pixel losses.

    Each slot's coordinates are moved up and down by a step, the parabola through the three losses gives the move,
    at most one step long. Losses are those of all canvases that show the slot, weighted by the exact posterior over
    the count at the present poses. Steps shrink as it goes on. First, each slot's likeliest identities are tried, and
    angles scanned over their period, which gets a slot out of the wrong one of two similar views.

    Args:
        iterations: Newton steps.
        scan: angles tried over the period; 0 or 1 tries only the network's.
        identities: how many of the likeliest identities are tried, each at its own pose; 1: only the network's.
        coarseness: the first step, in units of each coordinate's finite-difference step.
    """

    def __init__(self, iterations: int = 8, scan: int = 8, identities: int = 4, coarseness: float = 2.0) -> None:
        for name, value, least in (("iterations", iterations, 0), ("scan", scan, 0), ("identities", identities, 1)):
            if value < least:
                raise ValueError(f"refinement's {name} must be at least {least}, got {value}")
        if not coarseness > 0:
            raise ValueError(f"refinement's coarseness must be positive, got {coarseness}: 2 starts with double steps")
        self.iterations, self.scan, self.identities, self.coarseness = iterations, scan, identities, coarseness

    @torch.no_grad()
    def __call__(
        self, renderer: Renderer, observation: Observation, slots: Slots, kl: Tensor, log_prior: Tensor
    ) -> Slots:
        """``slots`` refined. kl: (B, N), the slots' KL. log_prior: log p(n), (N + 1,)."""
        own = renderer.where.steps(slots.where)
        for step in range(self.iterations):
            canvases = renderer.render(slots.what, slots.where, observation.background)
            posterior = (evidence(log_likelihoods(canvases, observation), kl) + log_prior).softmax(1)
            weights = self._weights(posterior)
            if step == 0:
                slots = self._scanned(renderer, observation, slots, weights)
            size = own * self.coarseness * max(0.75**step, 0.15)
            move = self._move(renderer, observation, slots, weights, size)
            slots = slots._replace(where=renderer.where.clamp(slots.where + move))
        return slots

    @staticmethod
    def _weights(posterior: Tensor) -> Tensor:
        """(B, N, N + 1): the posterior over n, and a little of the slot's own canvas so that none is left without."""
        slots = posterior.shape[1] - 1
        own = torch.eye(slots + 1, device=posterior.device)[1:]
        return posterior.unsqueeze(1) + 0.05 * own

    def _scanned(self, renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor) -> Slots:
        """The best of the likeliest identities and of turns over their periods, slot by slot."""
        what, where = slots.what.unsqueeze(2), slots.where.unsqueeze(2)
        if isinstance(renderer.what, Categorical) and self.identities > 1:
            what = slots.what_parameters.topk(min(self.identities, renderer.identity_count), -1).indices
            index = what.unsqueeze(-1).expand(*what.shape, slots.where.shape[-1])
            where = slots.where_by_identity.gather(2, index)
        periods = periods_of(renderer, what, where)
        turned = [where]
        for j, coordinate in enumerate(renderer.where.coordinates):
            for part in range(1, self.scan if coordinate.circular else 1):
                other = where.clone()
                other[..., j] += periods[..., j] * (part / self.scan)
                turned.append(other)
        what = what.repeat(1, 1, len(turned), *[1] * (what.dim() - 3))
        where = torch.cat(turned, 2)
        if where.shape[2] == 1:
            return slots
        best = _losses(renderer, observation, slots, what, where, weights).argmin(2)
        rows, columns = torch.meshgrid(*(torch.arange(n, device=best.device) for n in best.shape), indexing="ij")
        return slots._replace(what=what[rows, columns, best], where=where[rows, columns, best])

    @staticmethod
    def _move(renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor, size: Tensor) -> Tensor:
        """Each coordinate's Newton step, at most ``size`` (P,); downhill where the loss is not convex."""
        moves = torch.diag(size)
        others = slots.where.unsqueeze(2) + torch.cat([moves, -moves, torch.zeros_like(moves[:1])])
        what = slots.what.unsqueeze(2).expand(*others.shape[:3], *slots.what.shape[2:])
        losses = _losses(renderer, observation, slots, what, others, weights)
        up, down, here = losses[..., : len(size)], losses[..., len(size) : -1], losses[..., -1:]
        slope, curve = (up - down) / 2, up + down - 2 * here
        newton = (-slope / curve.clamp_min(1e-6)).clamp(-1, 1)
        downhill = torch.sign(-slope) * (torch.minimum(up, down) < here)
        return torch.where(curve > 1e-6, newton, downhill) * size


def _losses(
    renderer: Renderer, observation: Observation, slots: Slots, other_what: Tensor, other_where: Tensor, weights: Tensor
) -> Tensor:
    """Weighted pixel losses (B, N, M), nats, of M alternatives (B, N, M, ...) for every slot."""
    images, loss, background, _ = observation
    losses = renderer.swap_losses(images, slots.what, slots.where, other_what, other_where, loss, background)
    return (losses * weights.unsqueeze(2)).sum(-1)
