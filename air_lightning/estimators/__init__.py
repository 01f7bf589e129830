"""Gradient estimators of the discrete latents, as plug-ins: for the count and for identity."""

from air_lightning.estimators.base import Context, CountEstimate, CountEstimator, IdentityEstimator
from air_lightning.estimators.count import ExactCount, NVILCount, PosteriorCount, RLOOCount
from air_lightning.estimators.identity import ExactIdentity, NVILIdentity, RLOOIdentity

__all__ = [
    "Context",
    "CountEstimate",
    "CountEstimator",
    "ExactCount",
    "ExactIdentity",
    "IdentityEstimator",
    "NVILCount",
    "NVILIdentity",
    "PosteriorCount",
    "RLOOCount",
    "RLOOIdentity",
]
