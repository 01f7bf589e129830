"""Normal noise."""

from torch import Tensor

from air_lightning.likelihoods.base import Likelihood
from renderers.pixel_loss import Normal, PixelLoss


class NormalLikelihood(Likelihood):
    """N(x; canvas, scale^2). Args: scale: see Likelihood."""

    def noise(self, scale: Tensor | float) -> PixelLoss:
        return Normal(scale)
