"""The paper's inference network: an LSTM over the whole image, and a glimpse for what is there."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.inference.base import InferenceNetwork, Proposal
from air_lightning.inference.heads import CodeLimits, PoseHead, crop, look_size, pose_features, zero
from renderers.base import Renderer
from renderers.spaces import Gaussian

Encoder = Literal["raw", "mlp", "conv"]


class Memory(NamedTuple):
    """What passes from slot to slot.

    Attributes:
        hidden, cell: (B, lstm), the LSTM's state.
        previous: (B, Z), the sample of the slot before; zero before the first.
        encoded: (B, E), the encoded image where it is the same for every slot (AIR), else empty (DAIR).
    """

    hidden: Tensor
    cell: Tensor
    previous: Tensor
    encoded: Tensor


class RecurrentAIR(InferenceNetwork):
    """AIR's inference network (Eslami et al. 2016, section 2.1), and DAIR's (section 3.2), for any renderer.

    Each step an LSTM sees the encoded image and the slot before's sampled ``what`` and ``where``. Presence and the
    pose's posterior are read from its hidden state through one hidden layer. ``what`` is read by an MLP from a
    glimpse: the window that the renderer says an object at the sampled ``where`` covers, so that what the glimpse
    shows has a gradient in ``where`` (spatial transformer).

    Where it differs from the paper: presence is not fed back, since every slot is inferred as if those before it
    were present; a categorical ``what`` has K sampled poses, of which there is one glimpse, on the mean of their K
    windows; poses are fed back scaled to their prior, angles as unit vectors on the identity's period.

    Args:
        renderer: for its spaces and geometry.
        lstm: units of the LSTM.
        encoder: of the image: ``raw`` pixels, an ``mlp`` of one hidden layer, or three convolutions (``conv``).
        encoded: numbers that ``mlp`` and ``conv`` give.
        predict: units of the hidden layer before presence and pose.
        glimpse: samples along a side of the window.
        glimpse_margin: the window's half size as a multiple of the object's (``Renderer.window``).
        what_hidden: units of the hidden layer between glimpse and ``what``.
        position_sd: initial posterior sd of unconstrained coordinates.
        angle_sd: of angles, as a share of the period.
        presence_bias: initial logit of presence: 2 starts with 88 % of objects there.
        difference: DAIR. Image and glimpses come with the residual, image less canvas so far, as more channels.
        residual_only: the residual instead of the image, as the paper's DAIR.
    Errors:
        ValueError for numbers out of range, an unknown encoder, an image too small for it, and ``residual_only``
        without ``difference``.
    """

    periods: Tensor

    def __init__(
        self,
        renderer: Renderer,
        lstm: int = 256,
        encoder: Encoder = "mlp",
        encoded: int = 256,
        predict: int = 200,
        glimpse: int = 24,
        glimpse_margin: float = 1.0,
        what_hidden: int = 200,
        position_sd: float = 0.3,
        angle_sd: float = 0.2,
        presence_bias: float = 2.0,
        difference: bool = False,
        residual_only: bool = False,
    ) -> None:
        super().__init__(renderer)
        if residual_only and not difference:
            raise ValueError(
                "residual_only=True needs difference=True: plain AIR draws no canvas to take the residual of"
            )
        if not 0 < glimpse_margin < math.inf:
            raise ValueError(
                f"glimpse_margin must be positive and finite, got {glimpse_margin}: 1 is the object's size"
            )
        if not math.isfinite(presence_bias):
            raise ValueError(f"presence_bias must be finite, got {presence_bias}: 2 starts with 88 % of objects there")
        self.needs_canvas, self.residual_only = difference, residual_only
        self.lstm_units, self.glimpse, self.glimpse_margin = lstm, glimpse, glimpse_margin
        colors, height, width = self.image_shape
        channels = 2 * colors if difference and not residual_only else colors
        self.encode = _encoder(encoder, (channels, height, width), encoded)
        code = self.what_space.dim if isinstance(self.what_space, Gaussian) else self.identity_count
        angles = sum(c.circular for c in self.where_space.coordinates)
        self.previous = code + len(self.where_space) + angles
        inputs = channels * height * width if encoder == "raw" else encoded
        self.lstm = nn.LSTMCell(inputs + self.previous, lstm)
        self.predict = nn.Sequential(nn.Linear(lstm, predict), nn.ReLU())
        self.presence = zero(nn.Linear(predict, 1))
        nn.init.constant_(self.presence.bias, presence_bias)
        self.pose = PoseHead(self.where_space, self.identity_count, predict, position_sd, angle_sd)
        self.look = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * glimpse**2, what_hidden),
            nn.ReLU(),
            zero(nn.Linear(what_hidden, look_size(self.what_space))),
            CodeLimits() if isinstance(self.what_space, Gaussian) else nn.Identity(),
        )
        periods = self.where_space.periods(self.identity_count, torch.ones(()))
        self.register_buffer("periods", periods, persistent=False)

    def initial(self, images: Tensor) -> Memory:
        start = images.new_zeros(images.shape[0], self.lstm_units)
        encoded = images.new_zeros(images.shape[0], 0) if self.needs_canvas else self.encode(images)
        return Memory(start, start, images.new_zeros(images.shape[0], self.previous), encoded)

    def propose(self, images: Tensor, canvas: Tensor, state: Memory) -> tuple[Proposal, Memory]:
        encoded = self.encode(self._view(images, canvas)) if self.needs_canvas else state.encoded
        hidden, cell = self.lstm(torch.cat([encoded, state.previous], 1), (state.hidden, state.cell))
        features = self.predict(hidden)
        proposal = Proposal(self.presence(features).squeeze(1), *self.pose(features))
        return proposal, state._replace(hidden=hidden, cell=cell)

    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: Memory) -> Tensor:
        window = self._geometry[0](where).mean(1)
        wide = torch.cat([window[:, :, :2] * self.glimpse_margin, window[:, :, 2:]], 2)
        return self.look(crop(self._view(images, canvas), wide, self.glimpse))

    def observe(self, state: Memory, what: Tensor, where: Tensor) -> Memory:
        if isinstance(self.what_space, Gaussian):
            code, periods = what, self.periods.expand_as(where)
        else:
            code, periods = nn.functional.one_hot(what, self.identity_count).to(where), self.periods[what]
        return state._replace(previous=torch.cat([code, pose_features(self.where_space, where, periods)], 1))

    def _view(self, images: Tensor, canvas: Tensor) -> Tensor:
        """What encoder and glimpse look at: image, residual, or both."""
        if not self.needs_canvas:
            return images
        return images - canvas if self.residual_only else torch.cat([images, images - canvas], 1)


def _encoder(kind: str, shape: tuple[int, int, int], encoded: int) -> nn.Module:
    """Images of ``shape`` (C, H, W) to (B, encoded), or to (B, C H W) for ``raw``."""
    channels, height, width = shape
    if kind == "raw":
        return nn.Flatten()
    if kind == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), encoded), nn.ReLU())
    if kind != "conv":
        raise ValueError(f"encoder must be raw, mlp or conv, got {kind!r}")
    if min(height, width) < 8:
        raise ValueError(
            f"encoder conv halves an image three times and needs at least 8x8 pixels, got {height}x{width}: "
            "take mlp or raw"
        )
    layers: list[nn.Module] = []
    for before, after in ((channels, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    cells = 64 * (height // 8) * (width // 8)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(cells, encoded), nn.ReLU())
