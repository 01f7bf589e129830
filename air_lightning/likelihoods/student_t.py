"""Noise with heavy tails."""

from torch import Tensor

from air_lightning.likelihoods.base import Likelihood
from air_lightning.likelihoods.scale import LearntScale
from air_lightning.schedules import Schedule
from renderers.pixel_loss import PixelLoss, StudentT


class StudentTLikelihood(Likelihood):
    """Student's t about the canvas: a pixel that nothing explains counts by its error's logarithm.

    Args:
        scale: of the t, see Likelihood.
        dof: degrees of freedom, positive; the fewer, the heavier the tails.
    Errors:
        ValueError as Likelihood, and for a ``dof`` that is not positive.
    """

    def __init__(self, scale: float | Schedule | LearntScale = 0.1, dof: float = 4.0) -> None:
        super().__init__(scale)
        StudentT(1.0, dof)  # checks it
        self.dof = dof

    def noise(self, scale: Tensor | float) -> PixelLoss:
        return StudentT(scale, self.dof)
