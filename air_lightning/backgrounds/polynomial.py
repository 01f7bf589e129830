"""A smooth background fitted to each image."""

from itertools import count

import torch
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, Background
from air_lightning.backgrounds.robust import median, robust_fit
from renderers.base import Renderer

POINTS = 2048
"""A fit takes every second pixel of every second row, every third and so on, where it would take more than so many."""


class PolynomialBackground(Background):
    """A polynomial in x and y fitted to each image, robustly: a sky, a table's shading, a lamp's fall-off.

    What lies far from the fit, objects, counts nothing (``robust_fit``); they may cover up to a third of the image or
    so. Nothing is learnt and nothing is inferred, so there is no KL; channels are fitted apart.

    Args:
        degree: 0: a level; 1: a level and a slope; 2: a curved one.
    Errors:
        ValueError for a degree other than 0 to 3.
    """

    basis: Tensor
    fitted: Tensor

    def __init__(self, degree: int = 1) -> None:
        super().__init__()
        if not 0 <= degree <= 3:
            raise ValueError(f"a polynomial background's degree must lie between 0 and 3, got {degree}: 1 is a slope")
        self.degree = degree

    @property
    def source(self) -> str:
        return f"{type(self).__name__} {self.degree}"

    def prepare(self, renderer: Renderer) -> None:
        _, height, width = renderer.image_shape
        y, x = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in (height, width))
        powers = [(i, j) for i in range(self.degree + 1) for j in range(self.degree + 1 - i)]
        columns = [(x**i * (y**j).unsqueeze(1)).flatten() for i, j in powers]
        every = next(n for n in count(1) if -(-height // n) * -(-width // n) <= POINTS)
        basis = torch.stack(columns, 1)
        fitted, mixed = torch.linalg.qr(basis.view(height, width, -1)[::every, ::every].flatten(0, 1))
        self.every = every
        for name, matrix in (
            ("fitted", fitted),
            ("basis", torch.linalg.solve_triangular(mixed, basis, upper=True, left=False)),
        ):
            self.register_buffer(name, matrix.to(renderer.device), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        pixels = images[..., :: self.every, :: self.every].flatten(2)
        fit = robust_fit(pixels, self.fitted, median(pixels))
        return Backdrop((fit @ self.fitted @ self.basis.T).view_as(images))
