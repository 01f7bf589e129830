"""The distributions of AIR: count and ordered presence, identities, Gaussian and wrapped poses; and their KLs."""

from air_lightning.distributions.categorical import categorical_kl, corrected, draw
from air_lightning.distributions.count import count_log_posterior, count_log_prior, presence_weights
from air_lightning.distributions.gaussian import gaussian_kl
from air_lightning.distributions.wrapped import wrapped_kl, wrapped_log_ratio

__all__ = [
    "categorical_kl",
    "corrected",
    "count_log_posterior",
    "count_log_prior",
    "draw",
    "gaussian_kl",
    "presence_weights",
    "wrapped_kl",
    "wrapped_log_ratio",
]
