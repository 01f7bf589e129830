"""Estimators for identity: how a categorical ``what`` learns from a renderer without gradients."""

import torch
from torch import Tensor

from air_lightning.distributions import draw
from air_lightning.estimators.base import (
    Baseline,
    Context,
    IdentityEstimator,
    Normaliser,
    Score,
    bounded,
    leave_one_out,
)


class ExactIdentity(IdentityEstimator):
    """The score function summed over a slot's identities instead of sampled (Rao-Blackwellised).

    Slot i is drawn with each identity while the other slots keep theirs: ``sum_k q_ik R_ik``. With more than ``top``
    identities the likeliest ``top`` are summed and one of the rest is sampled from q, weighted by their mass:
    unbiased at ``top + 1`` draws.

    Args:
        top: how many to sum. spread, explore: see IdentityEstimator.
    """

    def __init__(self, top: int = 8, spread: float | None = 2.0, explore: float = 0.1) -> None:
        super().__init__(spread, explore)
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        self.top = top

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        identities, weights = log_q.shape[-1], log_q.detach().exp()
        if identities <= self.top + 1:
            every = torch.arange(identities, device=log_q.device).expand(log_q.shape)
            return self._loss(log_q, weights, score(every), identities)
        best = weights.topk(self.top, -1).indices
        rest = weights.scatter(-1, best, 0.0)
        mass = rest.sum(-1, keepdim=True)
        # where no mass is left outside the top, any of the rest will do: its weight is zero
        safe = torch.where(mass > 0, rest, torch.ones_like(rest).scatter(-1, best, 0.0))
        other = draw(safe, 1)
        drawn = torch.cat([best, other], -1)
        weights = torch.cat([weights.gather(-1, best), mass], -1)
        return self._loss(log_q.gather(-1, drawn), weights, score(drawn), self.top)

    def _loss(self, log_q: Tensor, weights: Tensor, scores: Tensor, summed: int) -> Tensor:
        """``-sum_m weight_m advantage_m log q_m``, (B, N), advantages against the mean of the first ``summed``.

        A mean that looked at the sampled one as well would bias its gradient.
        """
        advantage = bounded(scores - scores.mean(-1, keepdim=True), self.spread)
        known = weights[..., :summed]
        level = (known * advantage[..., :summed]).sum(-1, keepdim=True) / known.sum(-1, keepdim=True)
        advantage = advantage - level
        weights = torch.where(advantage > 0, weights.clamp_min(self.explore), weights)
        return -(weights * advantage * log_q).sum(-1)


class RLOOIdentity(IdentityEstimator):
    """The score function over ``samples`` identities a slot with leave-one-out baselines (Kool et al. 2019).

    Args:
        samples: identities drawn for every slot, the other slots as sampled.
        spread, explore: see IdentityEstimator.
    """

    def __init__(self, samples: int = 4, spread: float | None = 2.0, explore: float = 0.1) -> None:
        super().__init__(spread, explore)
        if samples < 2:
            raise ValueError(f"a leave-one-out baseline needs at least 2 samples, got {samples}")
        self.samples = samples

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        q = log_q.detach().exp()
        # drawn from q mixed with the uniform; what does worse than the others counts as often as q would draw it
        mixed = (1 - self.explore) * q + self.explore / log_q.shape[-1]
        drawn = draw(mixed, self.samples)
        advantage = bounded(leave_one_out(score(drawn)), self.spread)
        share = (q / mixed).gather(-1, drawn).clamp_max(1.0)
        weight = torch.where(advantage > 0, 1.0, share)
        return -(weight * advantage * log_q.gather(-1, drawn)).mean(-1)


class NVILIdentity(IdentityEstimator):
    """The score function over the one sampled identity with a learnt baseline (NVIL, Mnih & Gregor 2014).

    Args:
        spread: see IdentityEstimator.
        decay: of the running normalisation.
    """

    def __init__(self, spread: float | None = 2.0, decay: float = 0.95) -> None:
        super().__init__(spread, explore=0.0)
        self.normaliser = Normaliser(decay)

    def prepare(self, image_shape: tuple[int, ...], slots: int) -> None:
        self.baseline = Baseline(image_shape, slots)

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        signal = score(what.unsqueeze(-1)).squeeze(-1)
        if self.training:
            self.normaliser.update(signal)
        scaled = (signal - self.normaliser.mean) / self.normaliser.sd()
        guess = self.baseline(context.images)
        chosen = log_q.gather(-1, what.unsqueeze(-1)).squeeze(-1)
        return -bounded((scaled - guess).detach(), self.spread) * chosen + 0.5 * (scaled - guess) ** 2
