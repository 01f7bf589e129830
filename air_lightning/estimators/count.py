"""Estimators for presence: how q(n | x) learns from the N + 1 explanations of an image."""

import torch
from torch import Tensor

from air_lightning.distributions import draw
from air_lightning.estimators.base import (
    Baseline,
    Context,
    CountEstimate,
    CountEstimator,
    Normaliser,
    bounded,
    checked_spread,
    leave_one_out,
)


class PosteriorCount(CountEstimator):
    """Cross-entropy to the exact posterior over n given the slots, ``r_n ~ p(n) exp F_n`` (inclusive KL).

    Its gradient does not vanish where presence is saturated, which the ELBO's does: the choice for renderers whose
    misplaced objects make the image worse. Slots are trained under r.
    """

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        posterior = (evidence + log_prior).softmax(1)
        return CountEstimate(posterior, -(posterior * log_q).sum(1))


class ExactCount(CountEstimator):
    """The ELBO summed over all N + 1 counts: the Rao-Blackwellised score function, without sampling noise."""

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        q = log_q.exp()
        return CountEstimate(q, -(q * (evidence + log_prior - log_q)).sum(1))


class RLOOCount(CountEstimator):
    """Score function over ``samples`` counts with leave-one-out baselines (Kool et al. 2019).

    ``spread`` bounds the advantages' root mean square; null leaves them as they are (unbiased).
    """

    def __init__(
        self, samples: int = 4, spread: float | None = None, warmup: int = 0, power: float = 1.0, delay: int = 0
    ) -> None:
        super().__init__(warmup, power, delay)
        if samples < 2:
            raise ValueError(f"a leave-one-out baseline needs at least 2 samples, got {samples}")
        self.samples, self.spread = samples, checked_spread(spread)

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        drawn = draw(log_q.detach().exp(), self.samples)
        signal = (evidence + log_prior - log_q.detach()).gather(1, drawn)
        advantage = bounded(leave_one_out(signal), self.spread)
        weights = torch.zeros_like(log_q).scatter_add_(1, drawn, torch.full_like(signal, 1 / self.samples))
        return CountEstimate(weights, -(advantage * log_q.gather(1, drawn)).mean(1))


class NVILCount(CountEstimator):
    """Score function over one sampled count with a learnt baseline and variance normalisation.

    The paper's estimator (AIR section 2.3, appendix; NVIL, Mnih & Gregor 2014): the baseline is a regression of the
    signal on the image; the signal is centred by it and divided by its running standard deviation.
    """

    def __init__(self, warmup: int = 0, decay: float = 0.95, power: float = 1.0, delay: int = 0) -> None:
        super().__init__(warmup, power, delay)
        self.normaliser = Normaliser(decay)

    def prepare(self, image_shape: tuple[int, ...], slots: int) -> None:
        self.baseline = Baseline(image_shape, 1)

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        drawn = draw(log_q.detach().exp(), 1)
        signal = (evidence + log_prior - log_q.detach()).gather(1, drawn).squeeze(1)
        if self.training:
            self.normaliser.update(signal)
        scaled = (signal - self.normaliser.mean) / self.normaliser.sd()
        guess = self.baseline(context.images).squeeze(1)
        score = log_q.gather(1, drawn).squeeze(1)
        weights = torch.zeros_like(log_q).scatter_(1, drawn, 1.0)
        return CountEstimate(weights, -(scaled - guess).detach() * score + 0.5 * (scaled - guess) ** 2)
