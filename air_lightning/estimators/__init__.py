"""Gradient estimators of the discrete latents, as plug-ins: for the count and for identity."""

from air_lightning.estimators.angle import AngleScan
from air_lightning.estimators.base import Context, CountEstimate, CountEstimator, IdentityEstimator
from air_lightning.estimators.concrete import ConcreteCount
from air_lightning.estimators.count import ExactCount, NVILCount, PosteriorCount, RLOOCount
from air_lightning.estimators.identity import ExactIdentity, NVILIdentity, RLOOIdentity
from air_lightning.estimators.multisample import ReweightedWakeSleepCount, VIMCOCount

__all__ = [
    "AngleScan",
    "ConcreteCount",
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
    "ReweightedWakeSleepCount",
    "VIMCOCount",
]
