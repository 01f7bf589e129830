"""What an image is explained by besides the objects: the noise about its numbers, and what lies behind them."""

from typing import NamedTuple

from torch import Tensor

from renderers.pixel_loss import PixelLoss


class SceneGuess(NamedTuple):
    """What is said of the coordinates of B images' scenes (``Renderer.scene``).

    Attributes:
        values: (B, S), a sample or the mode, in their own units. mean, sd: (B, S), of the unconstrained ones.
        kl: (B,) nats, to their prior, or the sample's log ratio in its place.
    """

    values: Tensor
    mean: Tensor
    sd: Tensor
    kl: Tensor

    def of(self, images: Tensor) -> "SceneGuess":
        """Those of some of the images, (M,) indices."""
        return SceneGuess(*(part[images] for part in self))

    def with_those(self, images: Tensor, other: "SceneGuess") -> "SceneGuess":
        """The same, those of some of the images, (M,) indices, being others."""
        return SceneGuess(*(part.index_put((images,), new) for part, new in zip(self, other)))


class Observation(NamedTuple):
    """B images and how they are held against canvases.

    Attributes:
        images: (B, C, H, W).
        loss: -log p(x | canvas) of each number.
        background: behind all objects, (C, H, W) or (B, C, H, W). None: the renderer's own.
        background_kl: (B,) nats, of what was inferred of it, to its prior. None: nothing was.
        scene: what was inferred of the scenes' coordinates. None: the renderer has none.
    """

    images: Tensor
    loss: PixelLoss
    background: Tensor | None = None
    background_kl: Tensor | None = None
    scene: SceneGuess | None = None

    @property
    def values(self) -> Tensor | None:
        """Of the scenes (B, S); None where the renderer has no coordinates of them."""
        return None if self.scene is None else self.scene.values

    @property
    def kl(self) -> Tensor | None:
        """(B,) nats, of all that was inferred besides the objects; it counts in every F_n. None: nothing was."""
        parts = [part for part in (self.background_kl, self.scene and self.scene.kl) if part is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def found(self, values: Tensor | None) -> "Observation":
        """The same, the coordinates of the scenes being these, (B, S), where there are any."""
        return self if self.scene is None or values is None else self._replace(scene=self.scene._replace(values=values))

    def of(self, images: Tensor) -> "Observation":
        """Some of the images, (M,) indices."""
        background, kl = self.background, self.background_kl
        return self._replace(
            images=self.images[images],
            background=background[images] if background is not None and background.dim() == 4 else background,
            background_kl=None if kl is None else kl[images],
            scene=None if self.scene is None else self.scene.of(images),
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
