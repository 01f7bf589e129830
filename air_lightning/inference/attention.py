"""Residual attention: look where the image is not yet explained, then read the object from a glimpse there."""

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from air_lightning.inference.base import InferenceNetwork, Proposal
from air_lightning.inference.cells import Neighbourhood, Neighbourhoods
from air_lightning.inference.heads import CodeLimits, PoseHead, by_pixels, crops, image_grid, look_size, zero
from renderers.base import Renderer, affine
from renderers.spaces import Gaussian

CHANGED = 0.01
"""By how much, of a channel in [0, 1], a pixel of the canvas differs where objects have changed it."""
NEAR = 1.5
"""Cells to each side of where it has looked in vain that attention leaves out from then on."""
SURROUND = 9
"""Cells along a side of the surroundings that ``surround`` weighs."""


class Glimpsed(NamedTuple):
    """State between ``propose`` and ``appearance``.

    Attributes:
        hidden: the glimpse's features (B, H).
        inputs: the images (B, C, H, W) as the network looks at them.
        image_map: (B, channels, h, w), what the image alone gives to the first convolution, the same for every slot.
        whitening: how much residuals count at each pixel; None: all alike.
        empty: the canvas (B, C, H, W) before the first slot; None: nothing was proposed yet, or nobody asks.
        center: (B, 2), the place in the image that was last looked at; None: nothing was proposed yet.
    """

    hidden: Tensor
    inputs: Tensor
    image_map: Tensor
    whitening: Tensor | None = None
    empty: Tensor | None = None
    center: Tensor | None = None

    def residual(self, images: Tensor, canvas: Tensor) -> Tensor:
        """What a canvas leaves of images (B, C, H, W), by the noise's measure."""
        residual = images - canvas
        return residual if self.whitening is None else residual * self.whitening


class ResidualAttention(InferenceNetwork):
    """Attention over image and residual, committed to one peak; pose and identity from a glimpse there.

    The attention logits are the log energy of the residual, smoothed to the size of an object, plus what a small
    convolutional network adds; so from the first step a slot points at something unexplained. What it adds at the
    peak is a part of presence's logit too, so that a place where nothing more was found is looked at less: the peak
    passes no gradient by which logits of two distant places could be compared, and without this they drift, until
    objects of one identity draw every slot. The position is the expectation over the peak's neighbourhood, unprojected,
    plus an offset read from the glimpse. Identities are read from the same glimpse, appearance codes from a second
    one, cut where the pose says. An angle is read as a unit vector on each identity's own period, so a symmetric
    object has one answer. No state passes from slot to slot but the canvas, which makes every slot the same problem
    (compare DAIR, AIR section 3.2).

    Args:
        renderer: for its spaces and geometry.
        channels: of the attention network.
        reader: channels of the convolutions that read the glimpse; 0: an MLP reads it, which is faster and enough for
            flat objects.
        hidden: width of the glimpse's features.
        glimpse: samples along a side, a multiple of 4.
        glimpse_half: half its width in the image, image coordinates.
        position_sd, angle_sd: initial posterior sd, see PoseHead.
        window: the peak's neighbourhood reaches this many cells to each side.
        cell: pixels along a side of a cell: about the width of the smallest object.
        signed: smooth the residual before its magnitude is taken. What an explanation only blurs then cancels out and
            does not draw the next slot; right where objects are brighter than what is behind them.
        bright: with ``signed``, only what is brighter than its explanation draws a slot, and no hole that noise or
            too bright an explanation leaves. For objects that add light.
        smoothing: averages over 3 x 3 cells that the energy goes through, one after another.
        surround: share of the energy's mean over 9 x 9 cells that is taken off. Between two objects that nearly touch
            there is as much energy as on either, but more around it: with 1 the peak is on one of them.
        centered: take each channel's median over the cells off the residual first. A background whose mean is another
            than the renderer's then draws no slot; for objects that cover less than half of the image.
        stretch: look at ``asinh(x / stretch)`` of image and residual instead of x. About the noise's scale, where
            objects span decades of brightness: the faint ones are then not lost beside the bright. Null: at x.
        covered: how much the residual counts, where attention looks for the next object, on pixels that the canvas has
            changed. Below 1 for many objects: what their own explanations leave of them then draws slots away from
            those not found yet. At 0 what lies wholly before or behind an object that is found is not looked at.
    Errors:
        ValueError for images of a single cell, a glimpse that is no multiple of 4, glimpse_half, cell, smoothing,
        surround or stretch out of range, and as PoseHead.
    """

    pixels: Tensor
    grid: Tensor
    pool_down: Tensor
    pool_across: Tensor
    around_down: Tensor
    around_across: Tensor

    def __init__(
        self,
        renderer: Renderer,
        channels: int = 16,
        reader: int = 32,
        hidden: int = 128,
        glimpse: int = 24,
        glimpse_half: float = 0.375,
        position_sd: float = 0.3,
        angle_sd: float = 0.2,
        window: int = 2,
        signed: bool = False,
        smoothing: int = 1,
        surround: float = 0.0,
        centered: bool = False,
        cell: int = 4,
        stretch: float | None = None,
        bright: bool = False,
        covered: float = 1.0,
    ) -> None:
        super().__init__(renderer)
        if glimpse < 4 or glimpse % 4:
            raise ValueError(f"glimpse must be a positive multiple of 4 samples, got {glimpse}: 24, for example")
        if not 0 < glimpse_half < math.inf:
            raise ValueError(
                f"glimpse_half must be positive and finite, got {glimpse_half}: 0.375, for example, 1 is a whole image"
            )
        if smoothing < 1:
            raise ValueError(f"smoothing must be at least 1 average over the neighbouring cells, got {smoothing}")
        if not 0 <= surround <= 1:
            raise ValueError(f"surround must lie between 0 and 1, got {surround}: 0 looks at the place alone")
        if bright and not signed:
            raise ValueError("bright looks at residuals' signs, which are dropped without `signed: true`: set both")
        if not 0 <= covered <= 1:
            raise ValueError(f"covered must lie between 0 and 1, got {covered}: 1 looks at all pixels alike")
        if cell < 1:
            raise ValueError(f"a cell must have at least 1 pixel along a side, got {cell}: 4, for example")
        if stretch is not None and not stretch > 0:
            raise ValueError(f"stretch must be positive, got {stretch}: about the noise's scale, or null for none")
        colors, height, width = self.image_shape
        if max(height, width) <= cell:
            raise ValueError(
                f"images of {height}x{width} pixels are a single cell of {cell}x{cell}, and there is nothing for "
                f"attention to choose: take at least {cell + 1} pixels in one direction, or RecurrentAIR, which looks "
                "at the whole image"
            )
        self.cell, self.stretch, self.covered = cell, stretch, covered
        self.cells = (-(-height // cell), -(-width // cell))
        # images are filled up to whole cells, to the right and below
        self.padding = (0, self.cells[1] * cell - width, 0, self.cells[0] * cell - height)
        self.glimpse, self.glimpse_half, self.window, self.signed = glimpse, glimpse_half, window, signed
        self.smoothing, self.surround, self.centered, self.bright = smoothing, surround, centered, bright
        self.map = nn.Sequential(
            nn.Conv2d(2 * colors + 2, channels, cell, cell),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.ReLU(),
        )
        self.around = Neighbourhoods(self.cells, window)
        further = sum(isinstance(layer, nn.Conv2d) for layer in list(self.map)[1:])
        self.around_further = Neighbourhoods(self.cells, window + further)
        self.saliency = zero(nn.Conv2d(channels, 1, 1))
        self.sharpness = nn.Parameter(torch.tensor(2.0))
        self.convolves = reader > 0
        self.read = _reader(2 * colors, glimpse, reader, hidden)
        self.mix = nn.Sequential(nn.Linear(hidden + 2 + self.scene_size, hidden), nn.ReLU())
        self.presence = nn.Sequential(nn.Linear(hidden + channels + 1, 64), nn.ReLU(), nn.Linear(64, 1))
        self.pose = PoseHead(self.where_space, self.identity_count, hidden, position_sd, angle_sd)
        self.look: nn.Module
        if isinstance(self.what_space, Gaussian):
            self.look = nn.Sequential(
                nn.Flatten(),
                nn.Linear(2 * colors * glimpse**2, 2 * hidden),
                nn.ReLU(),
                nn.Linear(2 * hidden, look_size(self.what_space)),
                CodeLimits(),
            )
        else:
            self.look = zero(nn.Linear(hidden, look_size(self.what_space)))
        self.register_buffer("pixels", image_grid(height, width), persistent=False)
        self.register_buffer("grid", _cell_grid(self.cells, cell, height, width), persistent=False)
        for name, cells, pixels in zip(("pool_down", "pool_across"), self.cells, (height, width)):
            self.register_buffer(name, _pooling(cells, cell, pixels, smoothing), persistent=False)
        for name, cells in zip(("around_down", "around_across"), self.cells):
            self.register_buffer(name, _averaging(cells, SURROUND), persistent=False)

    def initial(self, images: Tensor) -> Glimpsed:
        return self.start(images, None)

    def start(self, images: Tensor, whitening: Tensor | None) -> Glimpsed:
        first = cast(nn.Conv2d, self.map[0])
        of_images, _, of_pixels = self._first_weights
        seen = self._stretched(images)
        image_map = self._cells(seen, of_images) + self._cells(self.pixels.unsqueeze(0), of_pixels, first.bias)
        return Glimpsed(images.new_zeros(0), seen, image_map, whitening)

    def propose(self, images: Tensor, canvas: Tensor, state: Glimpsed) -> tuple[Proposal, Glimpsed]:
        residual = self._stretched(state.residual(images, canvas))
        if self.covered < 1 and state.empty is None:
            state = state._replace(empty=canvas)
        energy = self._energy(self._counted(residual, canvas, state.empty))
        around, features = self._peak(state.image_map + self._cells(residual, self._first_weights[1]), energy)
        features, energy = features.flatten(2), around.of(energy.unsqueeze(1)).flatten(2)
        weight, bias = self._saliency_weights
        saliency, inside = (weight @ features).squeeze(1) + bias, around.inside.flatten(1)
        attention = (saliency + self._loudness(energy.squeeze(1))).masked_fill(~inside, -torch.inf).softmax(1)
        center = (attention.unsqueeze(2) * self.grid[around.flat]).sum(1)
        half = torch.full_like(center[:, 0], self.glimpse_half)
        window = affine(half, half, center.detach())
        glimpse = crops((state.inputs, residual), window, self.glimpse)
        read = self.read(by_pixels(glimpse) if self.convolves else glimpse)
        hidden = self.mix(torch.cat([read, center.detach(), self.scene_seen(images)], 1))
        here = torch.cat([features, energy], 1) @ attention.unsqueeze(2)
        presence = self.presence(torch.cat([hidden, here.squeeze(2)], 1)).squeeze(1)
        presence = presence + (attention.detach() * saliency).sum(1)
        return Proposal(presence, *self.pose(hidden, self._anchor(center))), state._replace(
            hidden=hidden, center=center
        )

    def looked_at(self, state: Glimpsed) -> Tensor | None:
        """The cells about the peak, ``NEAR`` to each side of its centre."""
        if state.center is None:
            return None
        half = NEAR * self.cell * 2 / torch.tensor(self.image_shape[:0:-1]).to(state.center)
        across, down = half.expand_as(state.center).unbind(-1)
        return affine(across, down, state.center)

    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: Glimpsed) -> Tensor:
        if not isinstance(self.what_space, Gaussian):
            return cast(Tensor, self.look(state.hidden))
        window = self._geometry[0](where[:, 0])
        residual = self._stretched(state.residual(images, canvas))
        return cast(Tensor, self.look(crops((state.inputs, residual), window, self.glimpse)))

    @property
    def _first_weights(self) -> tuple[Tensor, ...]:
        """Those of the attention's first convolution for image, residual and image coordinates."""
        colors = self.image_shape[0]
        return torch.split(cast(nn.Conv2d, self.map[0]).weight, [colors, colors, 2], 1)

    @property
    def _saliency_weights(self) -> tuple[Tensor, Tensor]:
        """Of features, (1, channels), and the bias (1,)."""
        layer = self.saliency
        return layer.weight.flatten(1), cast(Tensor, layer.bias)

    def _cells(self, images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padded = F.pad(images, self.padding) if any(self.padding) else images
        if images.shape[1] > 1:
            return F.conv2d(padded, weight, bias, self.cell)
        # of a single channel the product with all cells' pixels costs half of the convolution and its gradient
        (down, across), cell = self.cells, self.cell
        pixels = padded.reshape(-1, down, cell, across, cell).transpose(2, 3).flatten(3)
        return F.linear(pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)

    def _looks_again(self, first: Tensor) -> bool:
        """Whether the peak is sought without a gradient, and the cells about it computed once more, with one.

        No other cell has one, so that the backward pass then is theirs alone. (On a GPU it would be more launches, each
        of less.)
        """
        return torch.is_grad_enabled() and first.device.type == "cpu"

    def _peak(self, first: Tensor, energy: Tensor) -> tuple[Neighbourhood, Tensor]:
        """The cells about the largest logit and their features (B, channels, side, side).

        Args:
            first: the first convolution, (B, channels, h, w). energy: of all cells, (B, h, w).
        """
        again = self._looks_again(first)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not again):
            features = self.map[1:](by_pixels(first))
        with torch.no_grad():
            saliency = F.linear(features.permute(0, 2, 3, 1), *self._saliency_weights).squeeze(3)
            best = (saliency + self._loudness(energy)).flatten(1).argmax(1)
        around = self.around(best)
        if not again:
            return around, around.of(features)
        further = [layer for layer in list(self.map)[1:] if isinstance(layer, nn.Conv2d)]
        wide = self.around_further(best)
        inside = wide.inside.unsqueeze(1)
        cells = wide.of(first).relu() * inside
        for layer in further:  # beyond the image are zeros, for every layer
            inside = inside[..., 1:-1, 1:-1]
            cells = F.conv2d(cells, layer.weight, layer.bias).relu() * inside
        return around, cells

    def _loudness(self, energy: Tensor) -> Tensor:
        """What cells' energy (...) adds to their logits."""
        return self.sharpness * (energy + 1e-3).log()

    def _stretched(self, images: Tensor) -> Tensor:
        """Images or residuals as the network looks at them."""
        return images if self.stretch is None else (images / self.stretch).asinh()

    def _counted(self, residual: Tensor, canvas: Tensor, empty: Tensor | None) -> Tensor:
        """The residual as it counts for where to look next."""
        if empty is None:
            return residual
        changed = (canvas - empty).abs().amax(1, keepdim=True) > CHANGED
        return residual * torch.where(changed, self.covered, 1.0)

    def _energy(self, residual: Tensor) -> Tensor:
        """Mean absolute residual at each cell (B, h, w), smoothed, less what is around it."""
        if self.centered:  # before padding, which would stand out at the edges
            middle = F.avg_pool2d(residual, self.cell, ceil_mode=True).flatten(2).median(2).values
            residual = residual - middle[..., None, None]
        smooth = self.pool_down @ ((residual if self.signed else residual.abs()) @ self.pool_across.T)
        energy = (smooth.clamp_min(0) if self.bright else smooth.abs()).mean(1)
        if self.surround:
            around = self.around_down @ (energy @ self.around_across)
            energy = (energy - self.surround * around).clamp_min(0)
        return energy

    def _anchor(self, center: Tensor) -> Tensor:
        """Unconstrained pose (B, P) of an object seen at ``center``; 0 for what the place does not determine."""
        known = self._geometry[1](center) | self._geometry[2](center)
        columns = [
            c.unconstrain(known[c.name]) if c.name in known else torch.zeros_like(center[:, 0])
            for c in self.where_space.coordinates
        ]
        return torch.stack(columns, -1)


def _reader(channels: int, glimpse: int, width: int, hidden: int) -> nn.Module:
    """Glimpses (B, channels, glimpse, glimpse) to features (B, hidden)."""
    if width == 0:
        flat = nn.Linear(channels * glimpse**2, hidden)
        return nn.Sequential(nn.Flatten(), flat, nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * (glimpse // 4) ** 2, hidden),
        nn.ReLU(),
    )


def _pooling(cells: int, cell: int, pixels: int, smoothing: int) -> Tensor:
    """(cells, pixels): the mean over a cell's pixels, then ``smoothing`` times over three cells, in one direction.

    Beyond the image is nothing, which counts as zeros.
    """
    mean = torch.zeros(cells, pixels)
    mean[torch.arange(pixels) // cell, torch.arange(pixels)] = 1 / cell
    return torch.linalg.matrix_power(_averaging(cells, 3), smoothing) @ mean


def _averaging(cells: int, near: int) -> Tensor:
    """(cells, cells): the mean over so many cells about each, in one direction; beyond the image are zeros."""
    place = torch.arange(cells)
    return ((place.unsqueeze(1) - place).abs() <= near // 2) / near


def _cell_grid(cells: tuple[int, int], cell: int, height: int, width: int) -> Tensor:
    """Image coordinates (h w, 2) of the cells' centres in an image of height x width pixels."""
    grid = image_grid(*cells).flatten(1).T.contiguous()
    scale = torch.tensor([cells[1] * cell / width, cells[0] * cell / height])
    return (grid + 1) * scale - 1
