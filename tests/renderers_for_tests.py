"""Small renderers and data whose every number is known, for tests of what stands on top of them."""

import torch
from torch import Tensor

from datamodules.base import Batch, SceneDataModule, Scenes
from renderers import Categorical, Coordinate, Gaussian, Layer, Renderer


def grid(size: int) -> tuple[Tensor, Tensor]:
    """x (1, size) and y (size, 1) of pixel centres in [-1, 1]."""
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    return axis.unsqueeze(0), axis.unsqueeze(1)


class Bumps(Renderer):
    """Grey Gaussian bumps, added up: differentiable, ``what`` continuous (brightness and slope)."""

    def __init__(self, size: int = 12) -> None:
        where = tuple(Coordinate(n, "half images", -0.8, 0.8, 0.1) for n in ("x", "y"))
        super().__init__(Gaussian(2), where, (1, size, size), differentiable=True, compositing="additive")
        self.size = size

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(self.size)
        dx, dy = x.to(where) - where[:, 0, None, None], y.to(where) - where[:, 1, None, None]
        shade = torch.sigmoid(what[:, 0, None, None] + what[:, 1, None, None] * dx)
        color = shade * torch.exp(-(dx**2 + dy**2) / 0.1)
        return Layer(color.unsqueeze(1), torch.zeros_like(color))


class IdentityBumps(Renderer):
    """Bumps of three widths, smooth and added up, ``what`` categorical; a black box unless told otherwise."""

    def __init__(self, size: int = 12, differentiable: bool = True) -> None:
        where = tuple(Coordinate(n, "half images", -0.8, 0.8, 0.05) for n in ("x", "y"))
        names = ("narrow", "middle", "wide")
        super().__init__(Categorical(names), where, (1, size, size), differentiable, compositing="additive")
        self.size = size

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(self.size)
        width = torch.tensor([0.05, 0.1, 0.2])[what].to(where)[:, None, None]
        dx, dy = x.to(where) - where[:, 0, None, None], y.to(where) - where[:, 1, None, None]
        color = 0.6 * torch.exp(-(dx**2 + dy**2) / width)
        return Layer(color.unsqueeze(1), torch.zeros_like(color))


class Discs(Renderer):
    """Opaque discs with hard edges on black, later identities on top: no autograd, no angle."""

    def __init__(self, size: int = 32, radius: float = 0.3) -> None:
        where = tuple(Coordinate(n, "half images", -0.7, 0.7, 2 / size) for n in ("x", "y"))
        super().__init__(Categorical(("blue", "green", "red")), where, (3, size, size))
        self.size, self.radius = size, radius

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(self.size)
        inside = (x - where[:, 0, None, None]) ** 2 + (y - where[:, 1, None, None]) ** 2 < self.radius**2
        color = torch.eye(3).flip(1)[what][:, :, None, None] * inside.unsqueeze(1)
        return Layer(color, torch.where(inside, 10.0 - what[:, None, None], torch.inf))


class Dial(Renderer):
    """Shaded bumps that turn: ``hand`` without symmetry, ``star`` with a three-fold one, ``dot`` unseen."""

    def __init__(self, size: int = 16) -> None:
        turn = 2 * torch.pi
        periods = (turn, turn / 3, 0.0)
        where = (
            Coordinate("x", "half images", -0.6, 0.6, 0.1),
            Coordinate("y", "half images", -0.6, 0.6, 0.1),
            Coordinate("yaw", "radians", -torch.pi, torch.pi, 0.1, circular=True, periods=periods),
        )
        super().__init__(Categorical(("hand", "star", "dot")), where, (1, size, size), compositing="additive")
        self.size = size

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(self.size)
        dx, dy = x - where[:, 0, None, None], y - where[:, 1, None, None]
        fold = torch.tensor([1.0, 3.0, 0.0])[what][:, None, None]
        color = torch.exp(-(dx**2 + dy**2) / 0.1) * (
            0.5 + 0.4 * torch.cos(fold * (torch.atan2(dy, dx) - where[:, 2, None, None]))
        )
        return Layer(color.unsqueeze(1), torch.zeros_like(color))


class BumpScenes(SceneDataModule):
    """Scenes of up to ``most`` bumps, their codes and places drawn from the renderer's prior."""

    def __init__(self, renderer: Renderer, most: int = 2, batch_size: int = 4) -> None:
        super().__init__(batch_size, train_scenes=8, val_scenes=4, test_scenes=4, seed=0)
        self.renderer, self.most = renderer, most

    @property
    def largest_count(self) -> int:
        return self.most

    @property
    def extent(self) -> float:
        return 1.6

    def scenes(self, split: str) -> "_Bumps":
        return _Bumps(self.renderer, self.most, split)


class _Bumps(Scenes):
    def __init__(self, renderer: Renderer, most: int, split: str) -> None:
        self.renderer, self.most, self.split = renderer, most, split

    def __getitems__(self, indices: list[int]) -> Batch:
        start = ("train", "val", "test", "predict").index(self.split) * 1000
        parts = [self._scene(start + i) for i in indices]
        count, what, where = (torch.stack(column) for column in zip(*parts))
        canvases = self.renderer.render(what, where)
        return Batch(canvases[torch.arange(len(count)), count], count, what, where)

    def _scene(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        count = torch.randint(self.most + 1, (), generator=random)
        what = torch.randn(self.most, self.renderer.what.dim, generator=random)
        u = torch.randn(self.most, len(self.renderer.where), generator=random)
        return count, what, self.renderer.where.constrain(u)
