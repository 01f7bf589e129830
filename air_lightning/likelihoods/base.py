"""The likelihood's contract: the noise about every number of a canvas, and its scale over training."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from air_lightning.likelihoods.scale import LearntScale, check_scale
from air_lightning.schedules import Constant, Schedule
from renderers.pixel_loss import PixelLoss


class Likelihood(nn.Module, ABC):
    """log p(x | canvas): independent noise about every number of a canvas. A plug-in writes ``noise``.

    Args:
        scale: of the noise, in the image's unit: a number, a schedule over training (models are evaluated at its last
            value), or a ``LearntScale``.
    Errors:
        ValueError for a scale below 1e-6 or above 1e6.
    """

    def __init__(self, scale: float | Schedule | LearntScale = 0.3) -> None:
        super().__init__()
        self.scale = Constant(scale) if isinstance(scale, (int, float)) else scale
        if isinstance(self.scale, Schedule):
            for value in (self.scale(0), self.scale.last):
                check_scale("the likelihood's scale", value)

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
