"""What an image is explained by besides the objects: the noise about its numbers, and what lies behind them."""

from typing import NamedTuple

from torch import Tensor

from renderers.pixel_loss import PixelLoss


class Observation(NamedTuple):
    """B images and how they are held against canvases.

    Attributes:
        images: (B, C, H, W).
        loss: -log p(x | canvas) of each number.
        background: behind all objects, (C, H, W) or (B, C, H, W). None: the renderer's own.
        background_kl: (B,) nats, of what was inferred of it, to its prior; it counts in every F_n. None: nothing was.
    """

    images: Tensor
    loss: PixelLoss
    background: Tensor | None = None
    background_kl: Tensor | None = None

    def of(self, images: Tensor) -> "Observation":
        """Some of the images, (M,) indices."""
        background, kl = self.background, self.background_kl
        return self._replace(
            images=self.images[images],
            background=background[images] if background is not None and background.dim() == 4 else background,
            background_kl=None if kl is None else kl[images],
        )

    @property
    def variance(self) -> Tensor | float:
        """Of the noise, the mean over pixels; without gradient."""
        sd = self.loss.sd(self.images)
        return sd.detach().square().mean() if isinstance(sd, Tensor) else sd**2

    @property
    def whitening(self) -> Tensor | None:
        """How much a residual counts at each pixel against others, on average 1: it broadcasts to the images.

        The inverse of the noise's scale, without gradient. None where all pixels are alike.
        """
        sd = self.loss.sd(self.images)
        if not isinstance(sd, Tensor) or sd.numel() == 1:
            return None
        weights = sd.detach().reciprocal()
        return weights / weights.mean((-3, -2, -1), keepdim=True)
