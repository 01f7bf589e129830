"""Gaussian poses and codes."""

from torch import Tensor


def gaussian_kl(mean: Tensor, sd: Tensor) -> Tensor:
    """KL(N(mean, sd^2) || N(0, 1)), elementwise."""
    return 0.5 * (mean**2 + sd**2 - 1) - sd.log()
