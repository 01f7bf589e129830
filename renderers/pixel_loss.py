"""Pixel losses: ``-log p(x | c)`` in nats, of an image's number x where a canvas shows c.

Each number of an image has its own noise, so an image's loss is a sum over its numbers, and a kernel that draws one
slot otherwise adds up only the pixels that change.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from renderers.half_squares import half_squares

# What kernels know. The inner product with a gradient and the sum of squares are no losses, but scored alike.
LINEAR, SQUARED, NORMAL, STUDENT_T, MIXTURE, POISSON_GAUSSIAN = range(6)
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class PixelLoss(ABC):
    """The noise of every number of an image, independent of the others.

    A loss of one's own is a subclass with ``__call__``. Kernels know those of this file; others are scored by the base
    class of renderers, which draws layer by layer.

    Attributes:
        scale: the noise's standard deviation, or what each loss says it is; positive. A number, or a tensor that
            broadcasts to (C, H, W): one for all, one a channel, or a map over pixels.
        code: by which kernels know the loss; none: they do not.
    """

    scale: Tensor | float
    code: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if isinstance(self.scale, (int, float)):
            _check(self, "scale", self.scale, 0 < self.scale < math.inf, "positive and finite: 0.1, for example")

    @abstractmethod
    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        """``-log p(image | canvas)`` of each number, nats, constants included: (..., C, H, W), as the two broadcast.

        Differentiable in the canvas and in the scale.
        """

    def total(self, canvas: Tensor, image: Tensor) -> Tensor:
        """``-log p(image | canvas)`` of whole images, nats (...): ``self(canvas, image)`` summed over C, H and W."""
        return self(canvas, image).flatten(-3).sum(-1)

    def sd(self, canvas: Tensor) -> Tensor | float:
        """The noise's scale about a canvas (..., C, H, W): a number, or a tensor that broadcasts to the canvas."""
        return self.scale

    def sample(self, canvas: Tensor) -> Tensor:
        """An image drawn about a canvas (..., C, H, W). Default: normal noise of ``sd``."""
        return canvas + self.sd(canvas) * torch.randn_like(canvas)

    def whiten(self, canvas: Tensor, image: Tensor) -> Tensor:
        """The residual ``image - canvas`` (..., C, H, W) in units of the noise's scale."""
        return (image - canvas) / self.sd(canvas)

    @property
    def parameter(self) -> float:
        """The number that kernels read besides the scale."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Normal(PixelLoss):
    """``N(x; c, scale^2)``: half the squared error in units of the scale, and constants."""

    code = NORMAL

    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        return 0.5 * self.whiten(canvas, image) ** 2 + (_log(self.scale) + HALF_LOG_TWO_PI)

    def total(self, canvas: Tensor, image: Tensor) -> Tensor:
        if isinstance(self.scale, Tensor) and self.scale.numel() > 1:
            return super().total(canvas, image)
        numbers = canvas.shape[-3:].numel()
        scale = self.scale.flatten()[0] if isinstance(self.scale, Tensor) else self.scale
        return half_squares(canvas, image) / scale**2 + numbers * (_log(scale) + HALF_LOG_TWO_PI)


@dataclass(frozen=True, eq=False)
class StudentT(PixelLoss):
    """Student's t about c: as normal near it, with tails in which an error counts by its logarithm.

    Robust to pixels that no object explains (Lange, Little & Taylor 1989). ``scale`` is the t's own; its standard
    deviation is ``sqrt(dof / (dof - 2))`` times that, where ``dof`` is above 2.

    Attributes:
        dof: degrees of freedom, positive. Few: heavy tails; many: nearly normal.
    """

    dof: float = 4.0
    code = STUDENT_T

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "dof", self.dof, 0 < self.dof < math.inf, "positive and finite: 4, for example")

    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        nu = self.dof
        constant = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi)
        return (nu + 1) / 2 * torch.log1p(self.whiten(canvas, image) ** 2 / nu) + (_log(self.scale) + constant)

    def sample(self, canvas: Tensor) -> Tensor:
        # a t is a normal number over the root of a chi-squared one's share of its degrees of freedom
        share = torch._standard_gamma(torch.full_like(canvas, self.dof / 2)) / (self.dof / 2)
        return canvas + self.scale * torch.randn_like(canvas) / share.sqrt()

    @property
    def parameter(self) -> float:
        return self.dof


@dataclass(frozen=True, eq=False)
class Mixture(PixelLoss):
    """``(1 - e) N(x; c, scale^2) + e``: inliers about c, and a share e of outliers, uniform over [0, 1].

    No pixel costs more than ``-log e`` nats, whatever it shows: a highlight or a shadow's edge is written off
    (3DP3, Gothoskar et al. 2021, section 3.3, has this for depth images).

    Attributes:
        outliers: the share e, in (0, 1).
    """

    outliers: float = 0.01
    code = MIXTURE

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "outliers", self.outliers, 0 < self.outliers < 1, "a share between 0 and 1: 0.01, for example")

    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        inlier = math.log1p(-self.outliers) - HALF_LOG_TWO_PI - _log(self.scale)
        inliers = inlier - 0.5 * self.whiten(canvas, image) ** 2
        return -torch.logaddexp(inliers, torch.full_like(inliers, math.log(self.outliers)))

    def sample(self, canvas: Tensor) -> Tensor:
        outlying = torch.rand_like(canvas) < self.outliers
        return torch.where(outlying, torch.rand_like(canvas), super().sample(canvas))

    @property
    def parameter(self) -> float:
        return self.outliers


@dataclass(frozen=True, eq=False)
class PoissonGaussian(PixelLoss):
    """A sensor's noise: normal about c, of variance ``gain max(c, 0) + scale^2``; ``scale`` is the read noise.

    The normal approximation of photons counted and read out (Foi et al. 2008, equation 9).

    Attributes:
        gain: of the image's unit a photon (or electron): the variance that a value of 1 brings. Not negative.
    """

    gain: float = 0.01
    code = POISSON_GAUSSIAN

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "gain", self.gain, 0 <= self.gain < math.inf, "not negative and finite; 0 leaves the read noise")

    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        variance = self._variance(canvas)
        return 0.5 * ((image - canvas) ** 2 / variance + variance.log()) + HALF_LOG_TWO_PI

    def sd(self, canvas: Tensor) -> Tensor | float:
        return self._variance(canvas).sqrt()

    @property
    def parameter(self) -> float:
        return self.gain

    def _variance(self, canvas: Tensor) -> Tensor:
        return self.gain * canvas.clamp_min(0) + self.scale**2


def check_scale(loss: PixelLoss, image_shape: tuple[int, ...]) -> None:
    """ValueError unless the loss's scale broadcasts to images (C, H, W)."""
    shape = tuple(torch.as_tensor(loss.scale).shape) if isinstance(loss.scale, Tensor) else ()
    fits = len(shape) <= 3 and all(a in (1, b) for a, b in zip(reversed(shape), reversed(image_shape)))
    if not fits:
        raise ValueError(
            f"{type(loss).__name__}: scale must broadcast to images {tuple(image_shape)}, got {shape}: give one "
            f"number, ({image_shape[0]}, 1, 1) for one a channel, or a map over pixels"
        )


def _log(scale: Tensor | float) -> Tensor | float:
    return scale.log() if isinstance(scale, Tensor) else math.log(scale)


def _check(loss: PixelLoss, name: str, value: float, good: bool, rule: str) -> None:
    if not good:
        raise ValueError(f"{type(loss).__name__}: {name} must be {rule}, got {value}")
