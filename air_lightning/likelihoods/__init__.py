"""Likelihoods of an image given a canvas, as plug-ins, and the scale of their noise."""

from air_lightning.likelihoods.base import Likelihood
from air_lightning.likelihoods.mixture import MixtureLikelihood
from air_lightning.likelihoods.normal import NormalLikelihood
from air_lightning.likelihoods.poisson_gaussian import PoissonGaussianLikelihood
from air_lightning.likelihoods.scale import LearntScale
from air_lightning.likelihoods.student_t import StudentTLikelihood

__all__ = [
    "LearntScale",
    "Likelihood",
    "MixtureLikelihood",
    "NormalLikelihood",
    "PoissonGaussianLikelihood",
    "StudentTLikelihood",
]
