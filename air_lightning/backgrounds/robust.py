"""A robust least-squares fit of images by a few basis images, from which backgrounds are made."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

STEPS = 3
"""Of the fit, after each time that the noise is measured."""
CUT = 2.5
"""What lies farther from the fit counts nothing, in standard deviations of the noise."""
MAD = 1.4826
"""Standard deviations in a median absolute deviation, of normal noise."""
MEDIAN_OF_MEAN = 0.8453
"""Median absolute deviations in a mean absolute deviation, of normal noise."""
FLAT = 1e-6
"""Differences between images, whose numbers go from 0 to 1, that are rounding."""
ROUNDING = 1e-6
"""Of sums of products, as a share of the largest."""


Measure = Callable[[Tensor], Tensor]
"""Of absolute residuals (..., P) to what their median would be if they were noise alone, (..., 1)."""


def median(values: Tensor) -> Tensor:
    """Over the last dimension, (..., 1). By sorting, which an exported model can do."""
    return values.sort(-1).values[..., values.shape[-1] // 2].unsqueeze(-1)


def mean(values: Tensor) -> Tensor:
    """What the median of normal noise is where this is its mean, over the last dimension, (..., 1)."""
    return MEDIAN_OF_MEAN * values.mean(-1, keepdim=True)


MEDIANS = (median,) * 4
"""As often as the median settles."""


def robust_fit(values: Tensor, basis: Tensor, start: Tensor, measures: Sequence[Measure] = MEDIANS) -> Tensor:
    """Values (..., P) as combinations (..., P) of an orthonormal basis (P, K), from a start that broadcasts to them.

    An M-estimate with Tukey's biweight (Beaton & Tukey 1974), by iteratively reweighted least squares (Holland & Welsch
    1977): what lies far from the fit, objects, counts nothing. They may cover up to a third of an image or so.

    ``measures``: of the noise, one after another. The median is 0 where half of the values fit already, and all others
    are then outliers: the mean sees them.
    """
    fit, products = start.expand_as(values), (basis.unsqueeze(2) * basis.unsqueeze(1)).flatten(1)
    for measure in measures:
        cut = CUT * MAD * measure((values - fit).abs()).clamp_min(FLAT)
        for _ in range(STEPS):
            away = values - fit
            gram = (_weights(away, cut) @ products).view(*away.shape[:-1], *2 * basis.shape[1:])
            fit = fit + _solved(gram, biweight(away, cut) @ basis) @ basis.T
    return fit


def biweight(away: Tensor, cut: Tensor) -> Tensor:
    """Residuals by Tukey's biweight: less the farther they are, and 0 from ``cut`` on, which broadcasts to them."""
    return away * _weights(away, cut)


def _weights(away: Tensor, cut: Tensor) -> Tensor:
    return (1 - (away / cut) ** 2).clamp_min(0) ** 2


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """x (..., K) of a positive semi-definite matrix (..., K, K), matrix x = right, by conjugate gradients.

    K steps of them, which an exported model can do; what the matrix says nothing of, but for rounding, stays 0.
    """
    x, residual = torch.zeros_like(right), right
    direction, size = residual, _square(right)
    least, flat = ROUNDING**2 * size, ROUNDING * matrix.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    going = torch.ones_like(size, dtype=torch.bool)
    for _ in range(right.shape[-1]):
        ahead = (matrix @ direction.unsqueeze(-1)).squeeze(-1)
        curvature = (direction * ahead).sum(-1, keepdim=True)
        going = going & (size > least) & (curvature > flat * _square(direction))
        step = torch.where(going, size / curvature, 0.0)
        x, residual = x + step * direction, residual - step * ahead
        before, size = size, _square(residual)
        direction = torch.where(going, residual + size / before * direction, 0.0)
    return x


def _square(vectors: Tensor) -> Tensor:
    """Their squared lengths, (..., 1)."""
    return (vectors**2).sum(-1, keepdim=True)
