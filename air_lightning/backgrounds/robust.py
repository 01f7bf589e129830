"""A robust least-squares fit of images by a few basis images, from which backgrounds are made."""

from collections.abc import Callable, Sequence

from torch import Tensor

STEPS = 6
"""Of the fit, after each time that the noise is measured."""
CUT = 2.5
"""What lies farther from the fit counts nothing, in standard deviations of the noise."""
MAD = 1.4826
"""Standard deviations in a median absolute deviation, of normal noise."""
MEDIAN_OF_MEAN = 0.8453
"""Median absolute deviations in a mean absolute deviation, of normal noise."""


Measure = Callable[[Tensor], Tensor]
"""Of absolute residuals (..., P) to what their median would be if they were noise alone, (..., 1)."""


def median(values: Tensor) -> Tensor:
    """Over the last dimension, (..., 1). By sorting, which an exported model can do."""
    return values.sort(-1).values[..., values.shape[-1] // 2].unsqueeze(-1)


def mean(values: Tensor) -> Tensor:
    """What the median of normal noise is where this is its mean, over the last dimension, (..., 1)."""
    return MEDIAN_OF_MEAN * values.mean(-1, keepdim=True)


def robust_fit(values: Tensor, basis: Tensor, start: Tensor, measures: Sequence[Measure] = (median,) * 4) -> Tensor:
    """Values (..., P) as combinations (..., P) of an orthonormal basis (P, K), from a start that broadcasts to them.

    An M-estimate with Tukey's biweight (Beaton & Tukey 1974), by modified residuals (Huber 1981, section 7.8): what
    lies far from the fit, objects, counts nothing. They may cover up to a third of an image or so.

    ``measures``: of the noise, one after another. The median is 0 where half of the values fit already, and all others
    are then outliers: the mean sees them.
    """
    fit = start.expand_as(values)
    for measure in measures:
        cut = CUT * MAD * measure((values - fit).abs()).clamp_min(1e-6)
        for _ in range(STEPS):
            fit = fit + biweight(values - fit, cut) @ basis @ basis.T
    return fit


def biweight(away: Tensor, cut: Tensor) -> Tensor:
    """Residuals by Tukey's biweight: less the farther they are, and 0 from ``cut`` on, which broadcasts to them."""
    return away * (1 - (away / cut) ** 2).clamp_min(0) ** 2
