"""Estimators for identity: how a categorical ``what`` learns from a renderer without gradients."""

import torch
from torch import Tensor

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
        top: how many to sum. spread: see IdentityEstimator.
    """

    def __init__(self, top: int = 8, spread: float | None = 2.0) -> None:
        super().__init__(spread)
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        self.top = top

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        kinds = log_q.shape[-1]
        if kinds <= self.top + 1:
            every = torch.arange(kinds, device=log_q.device).expand(log_q.shape)
            scores = score(every)
            advantage = bounded(scores - scores.mean(-1, keepdim=True), self.spread)
            return -(log_q.exp() * advantage).sum(-1)
        best = log_q.topk(self.top, -1).indices
        rest = log_q.detach().exp().scatter(-1, best, 0.0)
        mass = rest.sum(-1, keepdim=True)
        # where q has no mass left outside the top, any of the rest will do: its weight is zero
        safe = torch.where(mass > 0, rest, torch.ones_like(rest).scatter(-1, best, 0.0))
        other = torch.multinomial(safe.flatten(0, 1), 1).view(*what.shape, 1)
        scores = score(torch.cat([best, other], -1))
        weights = torch.cat([log_q.detach().gather(-1, best).exp(), mass], -1)
        # a baseline that looked at the sampled one too would bias its gradient
        level = (weights * scores)[..., :-1].sum(-1, keepdim=True) / weights[..., :-1].sum(-1, keepdim=True)
        advantage = bounded(scores - level, self.spread)
        chosen = log_q.gather(-1, torch.cat([best, other], -1))
        return -(weights * advantage * chosen).sum(-1)


class RLOOIdentity(IdentityEstimator):
    """The score function over ``samples`` identities a slot with leave-one-out baselines (Kool et al. 2019).

    Args:
        samples: identities drawn from q for every slot, the other slots as sampled. spread: see IdentityEstimator.
    """

    def __init__(self, samples: int = 4, spread: float | None = 2.0) -> None:
        super().__init__(spread)
        if samples < 2:
            raise ValueError(f"a leave-one-out baseline needs at least 2 samples, got {samples}")
        self.samples = samples

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        q = log_q.detach().exp().flatten(0, 1)
        drawn = torch.multinomial(q, self.samples, replacement=True).view(*what.shape, self.samples)
        scores = score(drawn)
        advantage = bounded(leave_one_out(scores), self.spread)
        return -(advantage * log_q.gather(-1, drawn)).mean(-1)


class NVILIdentity(IdentityEstimator):
    """The score function over the one sampled identity with a learnt baseline (NVIL, Mnih & Gregor 2014).

    Args:
        spread: see IdentityEstimator. decay: of the running normalisation.
    """

    def __init__(self, spread: float | None = 2.0, decay: float = 0.95) -> None:
        super().__init__(spread)
        self.normaliser = Normaliser(decay)

    def prepare(self, image_shape: tuple[int, ...], slots: int) -> None:
        self.baseline = Baseline(image_shape[0], slots)

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        signal = score(what.unsqueeze(-1)).squeeze(-1)
        if self.training:
            self.normaliser.update(signal)
        scaled = (signal - self.normaliser.mean) / self.normaliser.sd()
        guess = self.baseline(context.images)
        chosen = log_q.gather(-1, what.unsqueeze(-1)).squeeze(-1)
        return -bounded((scaled - guess).detach(), self.spread) * chosen + 0.5 * (scaled - guess) ** 2
