"""A count and identities small enough to enumerate, and whether the mean of many estimates is what it should be."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from air_lightning.distributions import count_log_posterior, count_log_prior
from air_lightning.estimators import Context, CountEstimator
from air_lightning.estimators.base import Normaliser

ROWS = 60_000
SHAPE = (1, 8, 8)
# Standard errors that a mean may be off: with about 50 comparisons, 5 fails once in 30 000 seeds.
SIGMAS = 5.0

LOGITS = torch.tensor([1.2, -0.4, 0.7])
EVIDENCE = torch.tensor([-3.0, 1.0, 2.5, -1.0])
LOG_PRIOR = count_log_prior(3, 0.3)

LOOKS = torch.tensor([[0.5, -0.3, 0.9, 0.0], [-1.0, 0.2, 0.4, 1.3]])
VALUES = torch.tensor([[1.0, -2.0, 0.5, 3.0], [-4.0, 0.0, 2.0, 1.0]])


def context(rows: int, step: int = 0, images: Tensor | None = None, logits: Tensor | None = None) -> Context:
    """A world in which a mixture of canvases is worth the mean of what they are worth."""
    images = torch.zeros(rows, *SHAPE) if images is None else images
    return Context(images, step, LOGITS.repeat(rows, 1) if logits is None else logits, lambda s: (s * EVIDENCE).sum(1))


def agrees(samples: Tensor, expected: Tensor) -> None:
    """The mean of rows (R, ...) is ``expected`` (...) within its own standard error."""
    error = samples.std(0) / math.sqrt(len(samples)) + 1e-6
    deviation = ((samples.mean(0) - expected) / error).abs().max()
    assert deviation < SIGMAS, f"{samples.mean(0)} is {deviation:.1f} standard errors from {expected}"


def count_gradients(
    estimator: CountEstimator, rows: int = ROWS, evidence: Tensor = EVIDENCE, logits: Tensor = LOGITS
) -> Tensor:
    """Gradient in the presence logits of ``rows`` independent estimates, (rows, N)."""
    leaf = logits.repeat(rows, 1).requires_grad_()
    estimate = estimator(count_log_posterior(leaf), evidence.repeat(rows, 1), LOG_PRIOR, context(rows))
    (gradient,) = torch.autograd.grad(estimate.loss.sum(), leaf)
    return gradient


def scored(values: Tensor) -> Callable[[Tensor], Tensor]:
    """Score that reads a table (N, K)."""
    return lambda what: values.expand(len(what), *values.shape).gather(2, what)


def freeze(normaliser: Normaliser) -> None:
    normaliser.mean.fill_(1.5)
    normaliser.variance.fill_(16.0)
    normaliser.seen.fill_(1.0)
