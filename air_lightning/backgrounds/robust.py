"""A robust least-squares fit of images by a few basis images, from which backgrounds are made."""

from torch import Tensor

SCALES, STEPS = 4, 6
"""How often the noise is measured, and steps of the fit after each."""
CUT = 2.5
"""What lies farther from the fit counts nothing, in standard deviations of the noise."""
MAD = 1.4826
"""Standard deviations in a median absolute deviation, of normal noise."""


def robust_fit(values: Tensor, basis: Tensor, start: Tensor) -> Tensor:
    """Values (..., P) as combinations (..., P) of an orthonormal basis (P, K), from a start that broadcasts to them.

    An M-estimate with Tukey's biweight (Beaton & Tukey 1974), by modified residuals (Huber 1981, section 7.8): what
    lies far from the fit, objects, counts nothing. They may cover up to a third of an image or so.
    """
    fit = start.expand_as(values)
    for _ in range(SCALES):
        cut = CUT * MAD * median((values - fit).abs()).clamp_min(1e-6)
        for _ in range(STEPS):
            fit = fit + biweight(values - fit, cut) @ basis @ basis.T
    return fit


def biweight(away: Tensor, cut: Tensor) -> Tensor:
    """Residuals by Tukey's biweight: less the farther they are, and 0 from ``cut`` on, which broadcasts to them."""
    return away * (1 - (away / cut) ** 2).clamp_min(0) ** 2


def median(values: Tensor) -> Tensor:
    """Over the last dimension, (..., 1). By sorting, which an exported model can do."""
    return values.sort(-1).values[..., values.shape[-1] // 2].unsqueeze(-1)
