"""A background of the few ways in which those of the training images differ."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, FittedBackground, NoBackground
from air_lightning.backgrounds.robust import CUT, FLAT, MAD, MEDIANS, Measure, biweight, mean, median, robust_fit
from renderers.base import Renderer

ROUNDS = 10
"""Of filling in what objects hide, and taking the components anew."""


class EigenBackground(FittedBackground):
    """Eigenbackgrounds (Oliver, Rosario & Pentland 2000): the training images' mean and principal components, which are
    fitted to each image robustly.

    For a camera that all but stands still before a scene whose lights, shading or exposure differ from image to image.
    Objects are no part of it as long as they come and go: where they hide the background of a training image, it is
    filled in from the components so far, and these are taken anew. What an image shows is averaged over cells before,
    so that backgrounds are smooth.

    Of training images, at most 256, taken once before the first step; the checkpoint keeps it. Nothing is inferred, so
    there is no KL.

    Args:
        components: how many; fewer than the images by two at least, and than the cells in all colours. Where training
            images differ in fewer ways, the others are 0.
        cell: pixels along a side that are averaged.
        sparse: most of an image's cells are alike wherever it is taken, and backgrounds differ in the others: lines on
            black. What the others show is then no outlier of noise that has a median of 0.
    Errors:
        ValueError for fewer than 1 component, and for cells of less than a pixel; when a model is made, for no more
        cells than components.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, components: int = 8, cell: int = 4, sparse: bool = False) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(
                f"an eigenbackground has at least 1 component, got {components}: MedianBackground has none"
            )
        if cell < 1:
            raise ValueError(f"an eigenbackground's cells must have at least 1 pixel along a side, got {cell}: 4, say")
        self.components, self.cell, self.sparse = components, cell, sparse

    @property
    def source(self) -> str:
        return f"{type(self).__name__} {self.components}, {self.cell}" + ", sparse" * self.sparse

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        colors, height, width = renderer.image_shape
        self.size = (-(-height // self.cell), -(-width // self.cell))
        cells = colors * self.size[0] * self.size[1]
        if cells <= self.components:
            raise ValueError(
                f"an eigenbackground of {self.components} components needs more cells than that, and images "
                f"{(colors, height, width)} have {cells} of {self.cell} pixels along a side, over all channels: lower "
                "model.background.components or model.background.cell"
            )
        self.register_buffer("mean", torch.zeros(cells, device=renderer.device))
        self.register_buffer("basis", torch.zeros(cells, self.components, device=renderer.device))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take the components of images (M, C, H, W). Errors: NoBackground, a ValueError, for too few."""
        if len(images) < self.components + 2:
            raise NoBackground(
                f"an eigenbackground of {self.components} components needs at least {self.components + 2} images, got "
                f"{len(images)}: give more images, or lower model.background.components"
            )
        middle, basis = principal(self._cells(images), self.components, (mean,) if self.sparse else MEDIANS)
        self.mean.copy_(middle)
        self.basis.copy_(basis)
        self.fitted.fill_(True)

    @torch.no_grad()
    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        away = self._cells(images) - self.mean
        measures = (mean, median) if self.sparse else MEDIANS
        cells = self.mean + robust_fit(away, self.basis, torch.zeros_like(self.mean), measures)
        coarse = cells.view(images.shape[0], images.shape[1], *self.size)
        return Backdrop(F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False))

    def _cells(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) as means over cells, (B, P)."""
        return F.interpolate(images, self.size, mode="area").flatten(1)


def principal(values: Tensor, components: int, measures: Sequence[Measure]) -> tuple[Tensor, Tensor]:
    """The mean (P,) of rows (M, P) and their orthonormal components (P, K), of which outliers are no part.

    measures: of the noise, by which they are told (``robust_fit``); the first of components that are not there yet.
    """
    middle = values.median(0).values
    away = values - middle
    basis = _components(_unhidden(away, measures[0]), components)
    for _ in range(ROUNDS):
        fit = robust_fit(values - middle, basis, torch.zeros_like(middle), measures)
        filled = middle + fit + _unhidden(values - middle - fit, measures[0])
        middle = filled.mean(0)
        basis = _components(filled - middle, components)
    return middle, basis


def _unhidden(away: Tensor, measure: Measure) -> Tensor:
    """Residuals (M, P), those of outliers 0: what is far off for its row, and for its column.

    A lamp that the components do not have yet stands out in its image, and not among all images.
    """
    cut = CUT * MAD * torch.maximum(measure(away.abs()), measure(away.abs().T).T).clamp_min(FLAT)
    return biweight(away, cut)


def _components(rows: Tensor, components: int) -> Tensor:
    """Of rows (M, P), as (P, K): 0 where the rows differ in fewer ways, but for rounding."""
    _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    there = sizes[:components] > FLAT * math.sqrt(rows.numel())
    return (directions[:components] * there.unsqueeze(1)).T
