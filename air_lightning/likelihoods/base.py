"""The likelihood's contract: the noise about every number of a canvas, and its scale over training."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from air_lightning.likelihoods.scale import LearntScale
from air_lightning.schedules import Constant, Schedule, check_positive
from renderers.pixel_loss import PixelLoss


class Likelihood(nn.Module, ABC):
    """log p(x | canvas): independent noise about every number of a canvas. A plug-in writes ``noise``.

    Args:
        scale: of the noise, in the image's unit: a number, a schedule over training (models are evaluated at its last
            value), or a ``LearntScale``.
    Errors:
        ValueError for a scale that is not positive.
    """

    def __init__(self, scale: float | Schedule | LearntScale = 0.3) -> None:
        super().__init__()
        self.scale = Constant(scale) if isinstance(scale, (int, float)) else scale
        if isinstance(self.scale, Schedule):
            check_positive("the likelihood's scale", self.scale, 0.3)

    @abstractmethod
    def noise(self, scale: Tensor | float) -> PixelLoss:
        """The pixel loss at this scale: a number, or a tensor that broadcasts to (C, H, W)."""

    def prepare(self, image_shape: tuple[int, ...]) -> None:
        """Build what depends on the images' shape (C, H, W), once, before training."""
        if isinstance(self.scale, LearntScale):
            self.scale.prepare(image_shape)

    def at(self, step: int) -> PixelLoss:
        """The pixel loss at a step of training."""
        return self.noise(self.scale(step) if isinstance(self.scale, Schedule) else self.scale())

    def final(self) -> PixelLoss:
        """The pixel loss that models are evaluated with."""
        return self.noise(self.scale.last if isinstance(self.scale, Schedule) else self.scale())
