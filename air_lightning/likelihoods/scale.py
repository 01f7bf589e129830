"""A scale of the noise that is learnt."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

SPEED = 10.0
"""How much faster the scale's logarithm learns than other parameters at Adam's rate, whose steps are of one size."""

LEAST, MOST = 1e-6, 1e6
"""Of scales: numbers of 32 bits, which images are, hold what is divided by their squares."""


def check_scale(name: str, value: float) -> None:
    """ValueError for one that is not between ``LEAST`` and ``MOST``."""
    if not LEAST <= value <= MOST:
        raise ValueError(f"{name} must lie between {LEAST:g} and {MOST:g}, got {value:g}: 0.3 is a good start")


Over = Literal["all", "channel", "pixel"]


class LearntScale(nn.Module):
    """A scale that maximises the likelihood together with the model, never below a floor.

    With a map over pixels, pixels that nothing explains (a flickering lamp, the edge of a background that moves) count
    less than others (SuPAIR, Stelzner et al. 2019, learns its background's likewise).

    Args:
        over: ``all``: one number; ``channel``: one a channel; ``pixel``: a map over pixels, the channels alike.
        start: the scale before training.
        floor: the least scale. Without one, a part of the images that never changes would count without bound.
    Errors:
        ValueError for an unknown ``over``, a floor that is not positive, a start that is not above it, and either
        below 1e-6 or above 1e6.
    """

    def __init__(self, over: Over = "all", start: float = 0.3, floor: float = 0.02) -> None:
        super().__init__()
        if over not in get_args(Over):
            raise ValueError(f"a learnt scale is over {', '.join(get_args(Over))}, got {over!r}")
        if not 0 < floor < start < math.inf:
            raise ValueError(
                f"a learnt scale needs a positive floor and a start above it, got floor={floor} and start={start}: "
                "0.02 and 0.3, for example"
            )
        check_scale("a learnt scale's floor", floor)
        check_scale("a learnt scale's start", start)
        self.over, self.start, self.floor = over, start, floor

    def prepare(self, image_shape: tuple[int, ...]) -> None:
        """Build the parameter for images (C, H, W)."""
        channels, *size = image_shape
        shape = {"all": (1, 1, 1), "channel": (channels, 1, 1), "pixel": (1, *size)}[self.over]
        self.log_excess = nn.Parameter(torch.full(shape, math.log(self.start - self.floor) / SPEED))

    def forward(self) -> Tensor:
        """The scale, which broadcasts to (C, H, W)."""
        return self.floor + (SPEED * self.log_excess).exp()
