"""The 2D glimpse renderer: an appearance code decoded to a glimpse, placed by a spatial transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.base import Renderer
from renderers.compositing import Layer
from renderers.spaces import Coordinate, Gaussian


class GlimpseRenderer(Renderer):
    """Decodes ``what`` to a square glimpse and pastes it where ``where`` says; learns by backpropagation.

    ``what`` is a code with a standard normal prior. ``where`` is scale (half a glimpse's width as a share of half the
    picture), x and y (image coordinates of its centre, in [-1, 1]). Layers add up. The decoder and the placement are
    AIR's (Eslami et al. 2016, section 3.1; Jaderberg et al. 2015, equation 1).

    Args:
        image_shape: (channels, height, width).
        what: dimension of the code. glimpse: pixels along its side. hidden: width of the decoder's layers.
        scale: support of the scale, uniform a priori. reach: centres lie within [-reach, reach].
        bias: the decoder's initial output, in logits: negative ones start with dark glimpses.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 50, 50),
        what: int = 50,
        glimpse: int = 28,
        hidden: int = 200,
        scale: tuple[float, float] = (0.2, 0.8),
        reach: float = 0.9,
        bias: float = -2.0,
    ) -> None:
        pixel = 2 / min(image_shape[1:])
        place = (
            Coordinate("scale", "half pictures", scale[0], scale[1], pixel / 2),
            Coordinate("x", "half pictures", -reach, reach, pixel),
            Coordinate("y", "half pictures", -reach, reach, pixel),
        )
        super().__init__(Gaussian(what), place, image_shape, differentiable=True, compositing="additive")
        if not scale[0] > 0:
            raise ValueError(f"the scale must be positive, got a support from {scale[0]}: 0.2, for example")
        self.glimpse = glimpse
        last = nn.Linear(hidden, image_shape[0] * glimpse * glimpse)
        nn.init.constant_(last.bias, bias)
        self.decoder = nn.Sequential(nn.Linear(what, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        colors, height, width = self.image_shape
        glimpses = torch.sigmoid(self.decoder(what)).view(-1, colors, self.glimpse, self.glimpse)
        scale, x, y = where.unbind(-1)
        # pixel (u, v) of the picture shows the glimpse at ((u - x) / scale, (v - y) / scale)
        zero, wide = torch.zeros_like(x), min(height, width)
        rows = [
            torch.stack([width / wide / scale, zero, -x * width / wide / scale], -1),
            torch.stack([zero, height / wide / scale, -y * height / wide / scale], -1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1), [len(what), colors, height, width], align_corners=False)
        color = F.grid_sample(glimpses, grid, align_corners=False)
        return Layer(color, torch.ones_like(color[:, 0]))
