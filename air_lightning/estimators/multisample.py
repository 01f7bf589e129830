"""Estimators for presence from several sampled counts at once, weighed against one another."""

import math

import torch
from torch import Tensor

from air_lightning.distributions import draw
from air_lightning.estimators.base import Context, CountEstimate, CountEstimator


class _MultiSample(CountEstimator):
    """K counts n_k ~ q(n | x) and their importance weights ``w_k = p(n_k) exp F_{n_k} / q(n_k | x)``."""

    def __init__(self, samples: int = 5, warmup: int = 0, power: float = 1.0, delay: int = 0) -> None:
        super().__init__(warmup, power, delay)
        if samples < 2:
            raise ValueError(f"importance weights are relative: they need at least 2 samples, got {samples}")
        self.samples = samples

    def _drawn(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """The sampled counts and log w_k, both (B, K); the latter differentiable in ``log_q``."""
        drawn = draw(log_q.detach().exp(), self.samples)
        return drawn, (evidence + log_prior - log_q).gather(1, drawn)


class VIMCOCount(_MultiSample):
    """The bound of K samples, ``log 1/K sum_k w_k``, by its score function and pathwise gradient.

    VIMCO (Mnih & Rezende 2016, equations 7 to 10): each sample's signal is the bound less what the bound would be with
    the geometric mean of the other weights in its place. Slots are trained under the normalised weights.

    Args:
        samples: K, at least 2. warmup, power, delay: see CountEstimator.
    Errors:
        ValueError for fewer than two samples.
    """

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        drawn, log_w = self._drawn(log_q, evidence, log_prior)
        bound = log_w.logsumexp(1) - math.log(self.samples)
        signal = (bound.unsqueeze(1) - left_out(log_w)).detach()
        score = log_q.gather(1, drawn)
        loss = -(signal * score).sum(1) - bound
        return CountEstimate(_on_counts(log_q, drawn, log_w), loss)


class ReweightedWakeSleepCount(_MultiSample):
    """Cross-entropy of q to the posterior over n, which K reweighted samples stand for.

    Reweighted wake-sleep (Bornschein & Bengio 2015; Le et al. 2019, the wake phase of both networks):
    ``-sum_k w_k log q(n_k)`` with normalised weights, under which slots are trained too. ``PosteriorCount`` is its
    limit of many samples.

    Args:
        samples: K, at least 2. warmup, power, delay: see CountEstimator.
    Errors:
        ValueError for fewer than two samples.
    """

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        drawn, log_w = self._drawn(log_q, evidence, log_prior)
        share = log_w.detach().softmax(1)
        return CountEstimate(_on_counts(log_q, drawn, log_w), -(share * log_q.gather(1, drawn)).sum(1))


def left_out(log_w: Tensor) -> Tensor:
    """The bound of log weights (B, K) with the k-th replaced by the mean of the other logs, (B, K)."""
    samples = log_w.shape[1]
    others = (log_w.sum(1, keepdim=True) - log_w) / (samples - 1)
    table = log_w.unsqueeze(1).expand(-1, samples, -1)
    replaced = torch.where(torch.eye(samples, dtype=torch.bool, device=log_w.device), others.unsqueeze(2), table)
    return replaced.logsumexp(2) - math.log(samples)


def _on_counts(log_q: Tensor, drawn: Tensor, log_w: Tensor) -> Tensor:
    """Normalised weights of the samples, summed by count, (B, N + 1)."""
    return torch.zeros_like(log_q).scatter_add_(1, drawn, log_w.detach().softmax(1))
