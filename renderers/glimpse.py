"""The 2D glimpse renderer: an appearance code decoded to a glimpse, placed by a spatial transformer."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.base import Renderer, affine
from renderers.compositing import Layer
from renderers.constants import constant
from renderers.half_squares import kernels_know
from renderers.placing import add, place
from renderers.spaces import Coordinate, Gaussian

Range = tuple[float, float]


class GlimpseRenderer(Renderer):
    """Decodes ``what`` to a square glimpse and pastes it where ``where`` says; learns by backpropagation.

    ``what`` is a code with a standard normal prior. ``where`` is scale (half a glimpse's width as a share of half the
    image's shorter side), x and y (image coordinates of its centre, in [-1, 1]); with ``anisotropic`` scale_x and
    scale_y instead of scale; with ``turn`` also rotation (radians, from x towards y). Decoder and placement are AIR's
    (Eslami et al. 2016, section 3.1; Jaderberg et al. 2015, equation 1), and ``window`` is the placement's inverse.

    Args:
        image_shape: (channels, height, width).
        what: dimension of the code.
        glimpse: pixels along its side.
        hidden: widths of the decoder's layers.
        scale: support of the scale, uniform a priori.
        reach: centres lie within [-reach, reach].
        anisotropic: a scale for each direction.
        turn: largest rotation either way, radians; 0: glimpses stay upright.
        compositing: ``additive``: layers add up. ``over``: the decoder also gives alpha, and later slots hide
            earlier ones.
        bias: the decoder's initial output, in logits: negative ones start with dark (or transparent) glimpses.
        background: colour of the empty image, a value in [0, 1] for each channel; null: black. Objects darker than
            it need ``over``, for additive layers only add light.
    Errors:
        ValueError for scales and rotations out of their range, and for a background that is no colour of the image.
    """

    empty: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 50, 50),
        what: int = 50,
        glimpse: int = 28,
        hidden: int = 200,
        scale: Range = (0.2, 0.8),
        reach: float = 0.9,
        anisotropic: bool = False,
        turn: float = 0.0,
        compositing: Literal["additive", "over"] = "additive",
        bias: float = -2.0,
        background: list[float] | None = None,
    ) -> None:
        pixel = 2 / min(image_shape[1:])
        names = ("scale_x", "scale_y") if anisotropic else ("scale",)
        place = [Coordinate(name, "half images", scale[0], scale[1], pixel / 2) for name in names]
        place += [Coordinate(name, "half images", -reach, reach, pixel) for name in ("x", "y")]
        if not math.isfinite(bias):
            raise ValueError(f"bias must be finite, got {bias}: -2, for example")
        if not 0 <= turn < torch.pi:
            raise ValueError(f"turn must lie in [0, pi) radians, got {turn}: 0 keeps glimpses upright")
        if turn:
            place.append(Coordinate("rotation", "radians", -turn, turn, 0.1))
        super().__init__(Gaussian(what), tuple(place), image_shape, differentiable=True, compositing=compositing)
        if not scale[0] > 0:
            raise ValueError(f"the scale must be positive, got a support from {scale[0]}: 0.2, for example")
        empty = [0.0] * image_shape[0] if background is None else background
        if len(empty) != image_shape[0] or not all(0 <= value <= 1 for value in empty):
            raise ValueError(
                f"background must hold {image_shape[0]} values in [0, 1], one for each channel, got {empty}: divide "
                "those of 8 bits by 255"
            )
        self.register_buffer("empty", torch.tensor(empty)[:, None, None], persistent=False)
        self.glimpse, self.turns = glimpse, turn > 0
        planes = image_shape[0] + (compositing == "over")
        last = nn.Linear(hidden, planes * glimpse * glimpse)
        nn.init.constant_(last.bias[-glimpse * glimpse :] if compositing == "over" else last.bias, bias)
        self.decoder = nn.Sequential(nn.Linear(what, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)

    def background(self) -> Tensor:
        return self.empty.expand(self.image_shape)

    def decode(self, what: Tensor) -> Tensor:
        """Glimpses (M, C, side, side) of codes (M, D), colour times alpha; for ``over`` alpha is one more channel."""
        planes = torch.sigmoid(self.decoder(what)).view(what.shape[0], -1, self.glimpse, self.glimpse)
        if self.compositing == "additive":
            return planes
        alpha = planes[:, -1:]
        return torch.cat([planes[:, :-1] * alpha, alpha], 1)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        glimpses, window = self.decode(what), self.window(where)
        planes = self._placed(glimpses, window) if self.turns else place(glimpses, window, self._size)
        depth = planes.new_ones(()).expand_as(planes[:, 0])
        if self.compositing == "additive":
            return Layer(planes, depth)
        return Layer(planes[:, :-1], depth, planes[:, -1])

    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        ground = self.ground(where.shape[0], background)
        if self.turns or self.compositing != "additive" or not kernels_know(what, where, ground, self.empty):
            return super().render(what, where, background)
        glimpses = self.decode(what.flatten(0, 1))
        return add(glimpses.view(*what.shape[:2], *glimpses.shape[1:]), self.window(where), ground)

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of images."""
        return self.image_shape[1], self.image_shape[2]

    def window(self, where: Tensor) -> Tensor:
        height, width = self._size
        across, down = (self._scale(where, name) for name in ("scale_x", "scale_y"))
        center, short = self._center(where), min(height, width)
        if not self.turns:
            return affine(across * (short / width), down * (short / height), center)
        # turned where both directions have the same unit, then to image coordinates
        linear = affine(across, down, torch.zeros_like(center), self._column(where, "rotation"))[..., :2]
        unit = constant(((short / width,), (short / height,)), where.dtype, where.device)
        return torch.cat([linear * unit, center.unsqueeze(-1)], -1)

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        return self._center(where), torch.maximum(self._scale(where, "scale_x"), self._scale(where, "scale_y"))

    def _center(self, where: Tensor) -> Tensor:
        first = self.where.names.index("x")  # y is next to it
        return where[..., first : first + 2]

    def _scale(self, where: Tensor, name: str) -> Tensor:
        return self._column(where, name if name in self.where.names else "scale")

    def _placed(self, glimpses: Tensor, window: Tensor) -> Tensor:
        """(M, C, H, W): the image's pixel shows the glimpse at the window's own coordinates of it."""
        inverse = _inverse(window[..., :2])
        theta = torch.cat([inverse, -inverse @ window[..., 2:]], -1)
        size = [*glimpses.shape[:2], *self.image_shape[1:]]
        return F.grid_sample(glimpses, F.affine_grid(theta, size, align_corners=False), align_corners=False)


def _inverse(linear: Tensor) -> Tensor:
    """Of matrices (..., 2, 2), in closed form: ONNX has no operation for it."""
    (a, b), (c, d) = linear[..., 0, :].unbind(-1), linear[..., 1, :].unbind(-1)
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / (a * d - b * c)[..., None, None]
