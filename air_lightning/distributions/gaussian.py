"""Gaussian poses and codes, and pixels about a canvas."""

import math

from torch import Tensor


def gaussian_kl(mean: Tensor, sd: Tensor) -> Tensor:
    """KL(N(mean, sd^2) || N(0, 1)), elementwise."""
    return 0.5 * (mean**2 + sd**2 - 1) - sd.log()


def gaussian_log_likelihood(squared_error: Tensor, sd: float, size: int) -> Tensor:
    """log N(x; canvas, sd^2) of an image of ``size`` numbers from its squared error."""
    return -0.5 * squared_error / sd**2 - size * (math.log(sd) + 0.5 * math.log(2 * math.pi))
