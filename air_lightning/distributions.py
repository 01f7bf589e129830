"""The distributions of AIR: ordered presence and count, Gaussian and wrapped poses, and their KL divergences."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def count_log_posterior(presence_logits: Tensor) -> Tensor:
    """log q(n | x), (B, N + 1), of presence logits (B, N).

    Presence is n ones, then a zero: ``q(n) = prod_{i <= n} pi_i (1 - pi_{n + 1})`` (AIR, section 2.2).
    """
    on, off = F.logsigmoid(presence_logits), F.logsigmoid(-presence_logits)
    zero = torch.zeros_like(on[:, :1])
    return torch.cat([zero, on.cumsum(1)], 1) + torch.cat([off, zero], 1)


def shown(weights: Tensor) -> Tensor:
    """(B, N), weight of the counts that show slot i, ``sum_{n >= i} w_n``, of weights of the counts (B, N + 1)."""
    return weights.flip(1).cumsum(1).flip(1)[:, 1:]


def count_log_prior(slots: int, success: float | Sequence[float]) -> Tensor:
    """log p(n), (N + 1,): geometric ``p(n) ~ success ** n`` truncated at N, or the given N + 1 probabilities."""
    if isinstance(success, (int, float)):
        if not 0 < success < math.inf:
            raise ValueError(
                f"the count prior's ratio must be positive and finite, got {success}: 0.3 makes each further object "
                "0.3 times as likely"
            )
        weights = torch.arange(slots + 1) * math.log(success)
        return torch.log_softmax(weights, 0)
    probabilities = torch.tensor(list(success), dtype=torch.float32)
    if len(probabilities) != slots + 1 or not bool((probabilities > 0).all()):
        raise ValueError(
            f"a count prior given as a list needs {slots + 1} positive probabilities (counts 0 to {slots}), "
            f"got {list(success)}"
        )
    return torch.log(probabilities / probabilities.sum())


def gaussian_kl(mean: Tensor, sd: Tensor) -> Tensor:
    """KL(N(mean, sd^2) || N(0, 1)), elementwise."""
    return 0.5 * (mean**2 + sd**2 - 1) - sd.log()


def wrapped_kl(sd: Tensor, period: Tensor, points: int = 48) -> Tensor:
    """KL of a Gaussian angle wrapped on ``period`` to the uniform, elementwise; 0 where the period is 0.

    By the rectangle rule, which is exact to rounding for a smooth periodic density of sd over ``period / points``;
    a narrower one is not wrapped to speak of and has the closed form ``log(period / (sd sqrt(2 pi e)))``. Beyond an
    sd of 0.6 periods the KL, less than 1e-6 there, stays as it is.
    """
    seen = period > 0
    relative = sd / torch.where(seen, period, 1.0)
    closed = -relative.log() - 0.5 * math.log(2 * math.pi * math.e)
    wide = relative.clamp(0.08, 0.6)  # 0.6: the 7 turns below hold all but 1e-6 of the density
    grid = torch.arange(points, device=sd.device, dtype=sd.dtype) / points
    turns = torch.arange(-3, 4, device=sd.device, dtype=sd.dtype)
    distance = (grid.unsqueeze(1) + turns) / wide[..., None, None]
    log_density = torch.logsumexp(-0.5 * distance**2, -1) - (wide.log() + 0.5 * math.log(2 * math.pi)).unsqueeze(-1)
    quadrature = (log_density.exp() * log_density).mean(-1)
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


def draw(probabilities: Tensor, samples: int) -> Tensor:
    """``samples`` indices (..., samples) drawn, with replacement, from probabilities (..., K).

    Rows with a nan are drawn from the uniform: a diverged model is to fail at its loss, which names the term.
    """
    rows = probabilities.nan_to_num(1.0).unsqueeze(-2).expand(*probabilities.shape[:-1], samples, -1).contiguous()
    # what torch.multinomial does of one sample, too, but it first has the host look at the probabilities
    return (rows / torch.empty_like(rows).exponential_()).argmax(-1)


def categorical_kl(log_q: Tensor, log_prior: Tensor) -> Tensor:
    """KL(q || p) over the last dimension."""
    return (log_q.exp() * (log_q - log_prior)).sum(-1)


def gaussian_log_likelihood(squared_error: Tensor, sd: float, size: int) -> Tensor:
    """log N(x; canvas, sd^2) of a picture of ``size`` numbers from its squared error."""
    return -0.5 * squared_error / sd**2 - size * (math.log(sd) + 0.5 * math.log(2 * math.pi))
