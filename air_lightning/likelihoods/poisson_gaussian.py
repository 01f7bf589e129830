"""A sensor's noise."""

from torch import Tensor

from air_lightning.likelihoods.base import Likelihood
from air_lightning.likelihoods.scale import LearntScale
from air_lightning.schedules import Schedule
from renderers.pixel_loss import PixelLoss, PoissonGaussian


class PoissonGaussianLikelihood(Likelihood):
    """Photons counted and read out: normal noise of variance ``gain max(canvas, 0) + scale^2``.

    Args:
        scale: the read noise, in the image's unit, see Likelihood.
        gain: of the image's unit a photon: the variance that a value of 1 brings, not negative.
    Errors:
        ValueError as Likelihood, and for a negative gain.
    """

    def __init__(self, scale: float | Schedule | LearntScale = 0.05, gain: float = 0.01) -> None:
        super().__init__(scale)
        PoissonGaussian(1.0, gain)  # checks it
        self.gain = gain

    def noise(self, scale: Tensor | float) -> PixelLoss:
        return PoissonGaussian(scale, self.gain)
