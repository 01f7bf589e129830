"""Gaussian angles, wrapped on the period of a symmetry."""

import math

import torch
from torch import Tensor


def wrapped_kl(sd: Tensor, period: Tensor, points: int = 24) -> Tensor:
    """KL of a Gaussian angle wrapped on ``period`` to the uniform, elementwise; 0 where the period is 0.

    By the rectangle rule, which is exact to rounding for a smooth periodic density of sd over ``2 period / points``,
    an even number; both halves of the period are alike, and one is looked at. A narrower density is not wrapped to
    speak of and has the closed form ``log(period / (sd sqrt(2 pi e)))``. Beyond an sd of 0.6 periods the KL, less than
    1e-6 there, stays as it is.
    """
    seen = period > 0
    relative = sd / torch.where(seen, period, 1.0)
    closed = -relative.log() - 0.5 * math.log(2 * math.pi * math.e)
    wide = relative.clamp(0.08, 0.6)  # 0.6: the 7 turns below hold all but 1e-6 of the density
    half, turns = torch.arange(points // 2 + 1, device=sd.device), torch.arange(-3, 4, device=sd.device)
    squares = (half.to(sd.dtype) / points + turns.unsqueeze(1)) ** 2
    # no logsumexp: the nearest copy is at most half a period away, 6.3 sd
    copies = (squares * (-0.5 / wide**2)[..., None, None]).exp().sum(-2)
    density = copies / (wide * math.sqrt(2 * math.pi)).unsqueeze(-1)
    weights = torch.where(half % (points // 2) == 0, 1 / points, 2 / points).to(sd.dtype)
    quadrature = (density * density.log() * weights).sum(-1)
    return torch.where(seen, torch.where(relative < 0.08, closed, quadrature), 0.0)


def wrapped_log_ratio(noise: Tensor, sd: Tensor, period: Tensor) -> Tensor:
    """log q - log p of a Gaussian angle wrapped on ``period`` and the uniform, elementwise; 0 where the period is 0.

    Taken at ``noise`` (in units of ``sd``) from the mean: over standard normal noise its mean is ``wrapped_kl``.
    Beyond an sd of one period the density is uniform to 1e-8, and left as it is there.
    """
    seen = period > 0
    turn = torch.where(seen, period, 1.0)
    offset, relative = noise * sd / turn, (sd / turn).clamp_max(1.0)
    turns = torch.arange(-6, 7, device=sd.device, dtype=sd.dtype)
    # the copies that count lie around the nearest one
    distance = ((offset - offset.round()).unsqueeze(-1) + turns) / relative.unsqueeze(-1)
    log_density = torch.logsumexp(-0.5 * distance**2, -1) - relative.log() - 0.5 * math.log(2 * math.pi)
    return torch.where(seen, log_density, 0.0)
