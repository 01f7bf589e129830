"""Renderers that break one law each, in the way that their authors might; all but it they keep."""

import math
from typing import Any

import numpy as np
import torch
from disc_plugin import Discs
from renderers_for_tests import Dial
from torch import Tensor, nn

from renderers import Categorical, Coordinate, Gaussian, GlimpseRenderer, Layer, Renderer, Where
from renderers.pixel_loss import Normal


class FlatDepth(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color, depth.flatten(1))


class NoLayer(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        return tuple(super().draw(what, where)[:2])  # type: ignore[return-value]


class NoAlpha(Discs):
    def __init__(self) -> None:
        super().__init__()
        self.compositing = "over"


class CoarseBackground(Discs):
    def background(self) -> Tensor:
        return torch.zeros(3, 16, 16)


class Doubles(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color.double(), depth)


class KeepsTensor(Discs):
    def __init__(self) -> None:
        super().__init__()
        self.palette = [torch.eye(3)]


class Bytes(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color * 255, depth)


class PaintsNowhere(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer((color + 0.1).clamp(max=1), depth)


class DepthUndefined(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color, torch.where(depth.isfinite(), depth, math.nan))


class StraightAlpha(GlimpseRenderer):
    def __init__(self) -> None:
        super().__init__((1, 12, 12), 2, 6, 8, compositing="over")

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, alpha, _ = super().draw(what, where)
        assert alpha is not None
        return Layer((color * 50).clamp(max=1), depth, alpha)


class ForgetsRed(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        seen = (what != 2)[:, None, None]
        return Layer(color * seen.unsqueeze(1), torch.where(seen, depth, math.inf))


class Noisy(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color * torch.rand(()), depth)


class UsesNumpysRandom(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        np.random.rand()
        return super().draw(what, where)


class BatchScaled(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color / len(what), depth)


class Ordered(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color * torch.linspace(1, 0.5, len(what))[:, None, None, None], depth)


class OneView(Discs):
    """Draws all images with the first one's view."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Where((Coordinate("pan", "half images", -0.3, 0.3, 0.1),))

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        pan = self.scene_values[:1, 0]
        return super().draw(what, torch.cat([where[:, :1] + pan, where[:, 1:]], 1))


class MovesPoses(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        layer = super().draw(what, where)
        where += 0.5
        return layer


class PaintersOrder(Discs):
    """Draws later slots over earlier ones, whatever their depth."""

    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        canvas, canvases = self.ground(len(what), background).expand(len(what), 3, 32, 32), []
        for n in range(what.shape[1]):
            canvases.append(canvas)
            color, depth, _, _ = self.draw(what[:, n], where[:, n])
            canvas = torch.where(depth.isfinite().unsqueeze(1), color, canvas)
        return torch.stack([*canvases, canvas], 1)


class Smooth(Renderer):
    """Bumps that give what gradient the option says."""

    def __init__(self, fault: str = "", differentiable: bool = True) -> None:
        where = tuple(Coordinate(n, "half images", -0.8, 0.8, 0.1) for n in ("x", "y"))
        super().__init__(Gaussian(1), where, (1, 12, 12), differentiable, compositing="additive")
        self.fault = fault
        self.gain = nn.Parameter(torch.tensor(1.0)) if fault in ("idle", "black") else 1.0

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        axis = (torch.arange(12, dtype=where.dtype) + 0.5) / 6 - 1
        if self.fault == "detached":
            where = where.detach()
        if self.fault == "wrong":
            where = where.detach() + 0.5 * (where - where.detach())
        dx, dy = axis - where[:, 0, None, None], axis[:, None] - where[:, 1, None, None]
        if self.fault == "hard":
            inside = (dx**2 + dy**2 < 0.1) + 0 * dx
            color = torch.sigmoid(what)[:, :, None] * inside
        else:
            color = torch.sigmoid(what)[:, :, None] * torch.exp(-(dx**2 + dy**2) / 0.1)
        if self.fault == "rough":
            color = color * (0.5 + 0.5 * torch.sin(1e7 * dx))
        return Layer(color.unsqueeze(1), torch.zeros_like(color))


class TwiceContracted(Discs):
    def contract(self, *arguments: Any, background: Tensor | None = None) -> Tensor:
        return 2 * super().contract(*arguments)


class CoarsenessForgotten(Discs):
    def contract(self, what: Tensor, where: Tensor, gradient: Tensor, *_: Any, background: Any = None) -> Tensor:
        return super().contract(what, where, gradient)


class LossesHalved(Discs):
    def swap_scores(self, *arguments: Any, background: Tensor | None = None) -> Tensor:
        loss = arguments[5] if len(arguments) > 5 else None
        return super().swap_scores(*arguments) * (1 if loss is None else 0.5)


class AllLossesNormal(Discs):
    def swap_scores(self, *arguments: Any, background: Tensor | None = None) -> Tensor:
        loss = arguments[5] if len(arguments) > 5 else None
        return super().swap_scores(*arguments[:5], loss if loss is None else Normal(loss.scale))


class OldRender(Discs):
    """As it was before backgrounds could be given."""

    def render(self, what: Tensor, where: Tensor) -> Tensor:  # type: ignore[override]
        return super().render(what, where)


class OwnBackgroundOnly(Discs):
    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        return super().render(what, where)


class BlackBackgroundInScores(Discs):
    def swap_scores(self, *arguments: Any, background: Tensor | None = None) -> Tensor:
        return super().swap_scores(*arguments[:6])


class SeesBackgroundThroughObjects(Discs):
    def transmittance(self, what: Tensor, where: Tensor) -> Tensor:
        return torch.ones_like(super().transmittance(what, where))


class TinySteps(Discs):
    def __init__(self) -> None:
        super().__init__()
        place = tuple(Coordinate(n, "half images", -0.8, 0.8, step=1e-5) for n in ("x", "y"))
        Renderer.__init__(self, Categorical(("blue", "green", "red")), place, (3, 32, 32))
        for name, value in Discs().named_buffers():
            self.register_buffer(name, value, persistent=False)
        self.radius = 0.25


class Turning(Dial):
    """Its hand turns by 2 pi, its star by a third of it, its dot not at all; ``periods`` says otherwise."""

    def __init__(self, periods: tuple[float, ...]) -> None:
        super().__init__()
        x, y, yaw = self.where.coordinates
        turn = Coordinate("yaw", yaw.unit, yaw.low, yaw.high, yaw.step, circular=True, periods=periods)
        Renderer.__init__(self, self.what, (x, y, turn), self.image_shape, compositing="additive")
        self.size = 16


class UpsideDown(Discs):
    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        center, half = super().project(where)
        return center * torch.tensor([1.0, -1.0]), half

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        return {"x": image[..., 0], "y": -image[..., 1]}


class FlatProject(Discs):
    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        center, half = super().project(where.flatten(0, -2))
        return center, half


class NoSize(Discs):
    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        center, half = super().project(where)
        return center, 0 * half

    def window(self, where: Tensor) -> Tensor:
        return super().window(where) * 0 + torch.tensor([[0.4, 0.0, 0.0], [0.0, 0.4, 0.0]])


class HalfUnprojected(Discs):
    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        return {"x": image[..., 0] / 2}


class UnprojectsDepth(Discs):
    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        return {"z": image[..., 0]}


class UnprojectsPairs(Discs):
    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        return {"x": image}


class TinyWindow(Discs):
    def window(self, where: Tensor) -> Tensor:
        return super().window(where) * torch.tensor([0.2, 0.2, 1.0])


class FlatWindow(Discs):
    def window(self, where: Tensor) -> Tensor:
        return super().window(where) * torch.tensor([0.0, 1.0, 1.0])


class WindowsInverse(Discs):
    def window(self, where: Tensor) -> Tensor:
        return super().window(where)[..., :2]


class BoxesInShares(Discs):
    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        return super().boxes(what, where, share) / 32


class BoxesOutside(Discs):
    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        return super().boxes(what, where, share) + 1


class BoxesFlat(Discs):
    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        return super().boxes(what, where, share).flatten(0, 1)


class RandomColors(Discs):
    """Every one is made with other colours, which its state does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.colors = torch.rand(3, 3)


class StateWithObjects(Discs):
    def get_extra_state(self) -> Any:
        return Discs

    def set_extra_state(self, state: Any) -> None:
        pass


class HoldsFunction(Discs):
    def __init__(self) -> None:
        super().__init__()
        self.shade = lambda color: color


class ForgetsRadius(Discs):
    """Its copies are smaller."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "radius": 0.1}


class TakesAnything(Discs):
    def __init__(self, radius: Any = None) -> None:
        super().__init__(radius=0.25 if radius is None else radius(1))


class RadiusByEnvironment(Discs):
    """What it looks for depends on how many there have been."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        RadiusByEnvironment.made += 1
        names = tuple(f"kind {RadiusByEnvironment.made}-{i}" for i in range(3))
        self.what = Categorical(names)


class Raises(Discs):
    def window(self, where: Tensor) -> Tensor:
        raise RuntimeError("no window yet")
