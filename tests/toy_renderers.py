"""Renderers small enough to know everything about: smooth blobs that add up, opaque slabs that hide one another."""

import torch
from torch import Tensor

from renderers import Categorical, Coordinate, Gaussian, Layer, Renderer, Where

PLACE = tuple(Coordinate(name, "half images", -0.8, 0.8, 0.02) for name in ("x", "y"))


def centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    """x (1, width) and y (height, 1) of sample centres in [-1, 1]."""
    x, y = ((torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1 for n in (width, height))
    return x.unsqueeze(0), y.unsqueeze(1)


class Blobs(Renderer):
    """Gaussian bumps of brightness ``what``, added up. Smooth, so autograd knows the gradient."""

    def __init__(self, differentiable: bool = False) -> None:
        where = (*PLACE, Coordinate("scale", "half images", 0.1, 0.6, 0.01))
        super().__init__(Gaussian(1), where, (1, 9, 12), differentiable, compositing="additive")

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = (axis.to(where) for axis in centres(*self.image_shape[1:]))
        u, v, scale = where[:, :, None, None].unbind(1)
        bump = torch.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * scale**2))
        return Layer((what[:, :, None] * bump).unsqueeze(1), torch.zeros_like(bump))


class Slabs(Renderer):
    """Opaque squares with hard edges, ``z`` away, over a grey ramp; identities differ in colour and size."""

    def __init__(self, supersample: int = 1, size: tuple[int, int] = (12, 16)) -> None:
        where = (*PLACE, Coordinate("z", "half images", 1.0, 3.0, 0.2))
        super().__init__(Categorical(("small", "large")), where, (3, *size))
        self.samples = (size[0] * supersample, size[1] * supersample)

    def background(self) -> Tensor:
        return torch.linspace(0, 1, self.samples[1]).expand(3, *self.samples)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = (axis.to(where) for axis in centres(*self.samples))
        u, v, z = where[:, :, None, None].unbind(1)
        half = torch.tensor([0.3, 0.5]).to(where)[what][:, None, None]
        inside = ((x - u).abs() < half) & ((y - v).abs() < half)
        paint = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.6, 0.8]]).to(where)[what][:, :, None, None]
        return Layer(paint * inside.unsqueeze(1), torch.where(inside, z + x / 4, torch.inf))


class Panned(Blobs):
    """Blobs over a ramp, seen by a camera that pans from image to image with an exposure of its own."""

    def __init__(self, differentiable: bool = False) -> None:
        super().__init__(differentiable)
        exposure = Coordinate("exposure", "factor", 0.2, 3.0, 0.01, prior="normal", mean=1.0, sd=0.3)
        self.scene = Where((Coordinate("pan", "half images", -0.4, 0.4, 0.01), exposure))

    def background(self) -> Tensor:
        x = centres(*self.image_shape[1:])[0].to(self.scene_values)
        pan, exposure = self.scene_values[:, :, None, None].unbind(1)
        return (exposure * (0.3 + 0.1 * torch.sin(4 * (x - pan))).expand(-1, *self.image_shape[1:])).unsqueeze(1)

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        image, half = super().project(where)
        pan = self.scene_of(where)[..., 0]
        return torch.stack([image[..., 0] + pan, image[..., 1]], -1), half

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        return {"x": image[..., 0] - self.scene_of(image)[..., 0], "y": image[..., 1]}

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        scene = self.scene_of(where)
        seen = torch.cat([where[:, :1] + scene[:, :1], where[:, 1:]], 1)
        return super().draw(what * scene[:, 1:], seen)
