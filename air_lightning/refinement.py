"""Refinement: a few finite-difference steps on each slot's pose through the renderer, after the network's guess."""

import torch
from torch import Tensor

from air_lightning.core import Slots
from air_lightning.evidence import evidence, log_likelihoods
from renderers.base import Renderer
from renderers.spaces import Categorical


class Refinement:
    """Newton steps, coordinate by coordinate, on the squared error of the canvases.

    Each slot's coordinates are moved up and down by a step, the parabola through the three errors gives the move,
    at most one step long. Errors are those of all canvases that show the slot, weighted by the exact posterior over
    the count at the present poses. Steps shrink as it goes on. Angles are first scanned over their period, which gets
    a slot out of the wrong one of two similar views.

    Args:
        iterations: Newton steps.
        scan: angles tried over the period; 0 tries none.
        coarseness: the first step, in units of each coordinate's finite-difference step.
    """

    def __init__(self, iterations: int = 8, scan: int = 8, coarseness: float = 2.0) -> None:
        if iterations < 0 or scan < 0:
            raise ValueError(f"iterations and scan must not be negative, got {iterations} and {scan}")
        if not coarseness > 0:
            raise ValueError(f"coarseness must be positive, got {coarseness}: 2 starts with twice the renderer's steps")
        self.iterations, self.scan, self.coarseness = iterations, scan, coarseness

    @torch.no_grad()
    def __call__(
        self, renderer: Renderer, images: Tensor, slots: Slots, kl: Tensor, log_prior: Tensor, sd: float
    ) -> Slots:
        """``slots`` with refined ``where``. kl: (B, N), the slots' KL. log_prior: (N + 1,). sd: likelihood scale."""
        where, own = slots.where, renderer.where.steps(slots.where)
        for step in range(self.iterations):
            canvases = renderer.render(slots.what, where)
            posterior = (evidence(log_likelihoods(canvases, images, sd), kl) + log_prior).softmax(1)
            weights = self._weights(posterior)
            if step == 0:
                where = self._scanned(renderer, images, slots, where, weights)
            size = own * self.coarseness * max(0.75**step, 0.15)
            where = renderer.where.clamp(where + self._move(renderer, images, slots.what, where, weights, size))
        return slots._replace(where=where)

    @staticmethod
    def _weights(posterior: Tensor) -> Tensor:
        """(B, N, N + 1): the posterior over n, and a little of the slot's own canvas so that none is left without."""
        slots = posterior.shape[1] - 1
        own = torch.eye(slots + 1, device=posterior.device)[1:]
        return posterior.unsqueeze(1) + 0.05 * own

    def _scanned(self, renderer: Renderer, images: Tensor, slots: Slots, where: Tensor, weights: Tensor) -> Tensor:
        periods = renderer.where.periods(renderer.kinds, where)
        for j, coordinate in enumerate(renderer.where.coordinates):
            if not coordinate.circular or self.scan < 2:
                continue
            period = periods[slots.what, j] if isinstance(renderer.what, Categorical) else periods[0, j]
            turns = torch.arange(self.scan, device=where.device) / self.scan
            others = where.unsqueeze(2).repeat(1, 1, self.scan, 1)
            others[..., j] += torch.as_tensor(period).unsqueeze(-1) * turns
            best = _errors(renderer, images, slots.what, where, others, weights).argmin(2)
            where = others.gather(2, best[:, :, None, None].expand(-1, -1, 1, where.shape[2])).squeeze(2)
        return where

    @staticmethod
    def _move(renderer: Renderer, images: Tensor, what: Tensor, where: Tensor, weights: Tensor, size: Tensor) -> Tensor:
        moves = torch.diag(size)
        others = where.unsqueeze(2) + torch.cat([moves, -moves, torch.zeros_like(moves[:1])])
        errors = _errors(renderer, images, what, where, others, weights)
        up, down, here = errors[..., : len(size)], errors[..., len(size) : -1], errors[..., -1:]
        slope, curve = (up - down) / 2, up + down - 2 * here
        newton = (-slope / curve.clamp_min(1e-6)).clamp(-1, 1)
        downhill = torch.sign(-slope) * (torch.minimum(up, down) < here)
        return torch.where(curve > 1e-6, newton, downhill) * size


def _errors(renderer: Renderer, images: Tensor, what: Tensor, where: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Weighted squared errors (B, N, M) of M alternative poses (B, N, M, P) of every slot."""
    same = what.unsqueeze(2).expand(*what.shape[:2], others.shape[2], *what.shape[2:])
    errors = renderer.swap_errors(images, what, where, same, others)
    return (errors * weights.unsqueeze(2)).sum(-1)
