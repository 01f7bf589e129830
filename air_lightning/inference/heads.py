"""What inference networks share: image coordinates, glimpses, and the head that reads a pose's posterior."""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from air_lightning.inference.cropping import cut, kernels_cut
from renderers.spaces import FULL_TURN, Gaussian, What, Where

LayerT = TypeVar("LayerT", bound=nn.Module)

STRAIGHT_LIMITS = (0.01, 1.5)
"""Limits of a straight coordinate's posterior sd; its prior's is 1, which must lie inside to have a gradient."""

CODE_LIMITS = (0.01, 1.5)
"""Limits of an appearance code's posterior sd, likewise."""

ANGLE_LIMITS = (0.01, 0.25)
"""Limits of an angle's, as a share of the period. A wider one is all but uniform: no direction is learnt from it."""


def image_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Image coordinates (2, height, width) of cell centres, x then y, in [-1, 1]."""
    y, x = ((torch.arange(n, device=device) + 0.5) * 2 / n - 1 for n in (height, width))
    return torch.stack([x.expand(height, width), y.unsqueeze(1).expand(height, width)])


def by_pixels(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) as convolutions on the CPU take them fastest: in memory, each pixel's channels side by side."""
    return maps.contiguous(memory_format=torch.channels_last) if maps.device.type == "cpu" else maps


def crop(image: Tensor, window: Tensor, size: int) -> Tensor:
    """Windows of images (B, C, H, W), resampled to (B, C, size, size) bilinearly.

    Differentiable in ``window``. What lies outside the image shows its nearest border pixel.

    Args:
        window: (B, 2, 3), maps a window's coordinates (u, v, 1) in [-1, 1] to image coordinates (``Renderer.window``).
        size: samples along a side. Larger windows are not smoothed before they are sampled.
    """
    return crops((image,), window, size)


def crops(images: Sequence[Tensor], window: Tensor, size: int) -> Tensor:
    """The same windows of several images, their channels joined."""
    if kernels_cut(images, window):
        return cut(images, window, size)
    axes = image_grid(size, size, window.device).to(window.dtype).flatten(1)
    places = torch.cat([axes, torch.ones_like(axes[:1])])
    grid = (window.flatten(0, 1) @ places).view(-1, 2, size, size).permute(0, 2, 3, 1)
    parts = [F.grid_sample(image, grid, align_corners=False, padding_mode="border") for image in images]
    return torch.cat(parts, 1)


def sd_curve(first: Tensor, narrowest: Tensor, widest: Tensor) -> Tensor:
    """The sigmoid in log sd between ``narrowest`` and ``widest`` that has ``first``, and a slope of 1, at 0.

    Returns:
        (4, ...): the lowest log sd, the span from it to the highest, the sigmoid's argument at 0, its factor there.
    """
    span = (widest / narrowest).log()
    share = (first / narrowest).log() / span
    return torch.stack([narrowest.log(), span, share.logit(), 1 / (span * share * (1 - share))])


def bounded_log_sd(raw: Tensor, curve: Sequence[Tensor | float]) -> Tensor:
    """Log sd of what a network says of it, on an ``sd_curve``.

    Its slope is nowhere zero, so an sd pushed to a limit (as annealing does) comes back; clamped there, it would not.
    """
    lowest, span, start, factor = curve
    return lowest + span * torch.sigmoid(start + factor * raw)


def _hold(raw: Tensor, share: Tensor) -> None:
    """Let nothing push ``raw`` further up where its sd is within 5 % of the widest, of which ``share`` is the share.

    As long as an angle is not known, all that learns widens its sd. Adam follows however small the sigmoid's slope has
    become, so far that an sd took a thousand steps to come back once the angle was known.
    """
    if raw.requires_grad:
        raw.register_hook(lambda gradient: gradient.masked_fill((share > 0.95) & (gradient < 0), 0.0))  # type: ignore[no-untyped-call]


def look_size(what: What) -> int:
    """How many numbers ``InferenceNetwork.appearance`` returns for an image."""
    return 2 * what.dim if isinstance(what, Gaussian) else len(what)


class CodeLimits(nn.Module):
    """Mean and log sd (..., 2 D) of an appearance code with the sd kept within ``CODE_LIMITS``, 1 where log sd is 0.

    Slots that explain nothing get no gradient, and without limits their sd drifts to where its KL swamps the bound.
    """

    def forward(self, raw: Tensor) -> Tensor:
        mean, log_sd = raw.chunk(2, -1)
        return torch.cat([mean, bounded_log_sd(log_sd, CODE_CURVE)], -1)


CODE_CURVE = sd_curve(*torch.tensor([1.0, *CODE_LIMITS], dtype=torch.float64)).tolist()


def pose_features(space: Where, where: Tensor, periods: Tensor) -> Tensor:
    """Poses (B, P) as numbers of order 1 to feed to a network, (B, P + number of angles).

    A straight coordinate is centred on its prior and scaled to it; an angle is its unit vector on its ``periods``
    (B, P), zero where the period is 0, so that symmetric copies are alike.
    """
    columns: list[Tensor] = []
    for coordinate, value, period in zip(space.coordinates, where.unbind(-1), periods.unbind(-1)):
        if coordinate.circular:
            seen = period > 0
            angle = value * FULL_TURN / torch.where(seen, period, 1.0)
            columns += [angle.sin() * seen, angle.cos() * seen]
        elif coordinate.prior == "normal":
            columns.append((value - coordinate.mean) / coordinate.sd)
        else:
            columns.append(2 * (value - coordinate.low) / (coordinate.high - coordinate.low) - 1)
    return torch.stack(columns, -1)


def zero(layer: LayerT) -> LayerT:
    """The layer with weights and bias set to zero: what it adds is nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class PoseHead(nn.Module):
    """Features (B, hidden) to mean and sd (B, K, P) of the unconstrained pose, for each of K identities.

    A straight coordinate has one posterior for all identities: its mean is the anchor plus an offset that starts at 0.
    (With one of its own, an identity that is rarely sampled would not learn where objects are, explain ever worse than
    the others, and never be sampled again.) An angle has one for each identity. Its mean is read as a unit vector on
    the identity's period, so that it is continuous, within half a period of 0, and one answer for a symmetric object
    (0 where the period is 0).

    Args:
        where: the renderer's coordinates. identity_count: K.
        hidden: number of features.
        position_sd: initial sd of straight coordinates, unconstrained, within ``STRAIGHT_LIMITS``.
        angle_sd: initial sd of angles, as a share of the period, within ``ANGLE_LIMITS``.
    Errors:
        ValueError for an initial sd outside its limits.
    """

    circular: Tensor
    periods: Tensor
    curve: Tensor
    widest: Tensor

    def __init__(
        self, where: Where, identity_count: int, hidden: int, position_sd: float = 0.3, angle_sd: float = 0.2
    ) -> None:
        super().__init__()
        _check_sd("position_sd", position_sd, STRAIGHT_LIMITS, "the prior's sd is 1")
        _check_sd("angle_sd", angle_sd, ANGLE_LIMITS, "it is a share of the period")
        self.identity_count, self.places = identity_count, len(where)
        self.straight = zero(nn.Linear(hidden, len(where) * 2))
        circular = torch.tensor([c.circular for c in where.coordinates])
        self.turn = nn.Linear(hidden, identity_count * len(where) * 2) if bool(circular.any()) else None
        self.turn_sd = zero(nn.Linear(hidden, identity_count * len(where))) if bool(circular.any()) else None
        periods = where.periods(identity_count, torch.ones(()))
        self.register_buffer("circular", circular, persistent=False)
        self.register_buffer("periods", periods, persistent=False)
        # An angle that cannot be seen (period 0) still needs a positive sd, any.
        unit = torch.where(circular, periods.clamp_min(0.1), 1.0)
        limits = zip((position_sd, *STRAIGHT_LIMITS), (angle_sd, *ANGLE_LIMITS))
        first, narrowest, widest = (torch.where(circular, angle, straight) * unit for straight, angle in limits)
        self.register_buffer("curve", sd_curve(first, narrowest, widest), persistent=False)
        self.register_buffer("widest", widest, persistent=False)

    def forward(self, features: Tensor, anchor: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and sd (B, K, P). ``anchor`` (B, P): unconstrained pose to start from, of angles that to count from."""
        mean, raw_sd = self.straight(features).view(-1, 1, self.places, 2).unbind(-1)
        if anchor is not None:
            mean = mean + anchor.unsqueeze(1)
        raw_turn = None
        if self.turn is not None and self.turn_sd is not None:
            sine, cosine = self.turn(features).view(-1, self.identity_count, self.places, 2).unbind(-1)
            turned = _direction(sine, cosine) * self.periods / FULL_TURN
            if anchor is not None:
                turned = _within(turned + anchor.unsqueeze(1), self.periods)
            mean = torch.where(self.circular, turned, mean)
            raw_turn = self.turn_sd(features).view(-1, self.identity_count, self.places)
            raw_sd = torch.where(self.circular, raw_turn, raw_sd)
        mean, raw_sd = (part.expand(-1, self.identity_count, -1) for part in (mean, raw_sd))
        sd = bounded_log_sd(raw_sd, self.curve.unbind()).exp()
        if raw_turn is not None:
            _hold(raw_turn, sd.detach() / self.widest)
        return mean, sd


def _direction(sine: Tensor, cosine: Tensor) -> Tensor:
    """The vector's angle in [-pi, pi]; 0, without a gradient, for one too short to have a direction."""
    short = sine**2 + cosine**2 < 1e-12
    return torch.atan2(sine.masked_fill(short, 0.0), cosine.masked_fill(short, 1.0))


def _within(angles: Tensor, periods: Tensor) -> Tensor:
    """Angles within half a period of 0; 0 where the period is 0."""
    whole = torch.where(periods > 0, periods, 1.0)
    return torch.where(periods > 0, angles - whole * (angles.detach() / whole).round(), 0.0)


def _check_sd(name: str, value: float, limits: tuple[float, float], reason: str) -> None:
    if not limits[0] < value < limits[1]:
        raise ValueError(f"{name} must lie between {limits[0]} and {limits[1]} ({reason}), got {value}")
