"""Normal noise with outliers."""

from torch import Tensor

from air_lightning.likelihoods.base import Likelihood
from air_lightning.likelihoods.scale import LearntScale
from air_lightning.schedules import Schedule
from renderers.pixel_loss import Mixture, PixelLoss


class MixtureLikelihood(Likelihood):
    """``(1 - e) N(x; canvas, scale^2) + e``: no number of an image costs more than ``-log e`` nats.

    Args:
        scale: of the inliers, see Likelihood.
        outliers: the share e of numbers that are anything between 0 and 1, in (0, 1).
    Errors:
        ValueError as Likelihood, and for a share outside (0, 1).
    """

    def __init__(self, scale: float | Schedule | LearntScale = 0.1, outliers: float = 0.01) -> None:
        super().__init__(scale)
        Mixture(1.0, outliers)  # checks it
        self.outliers = outliers

    def noise(self, scale: Tensor | float) -> PixelLoss:
        return Mixture(scale, self.outliers)
