"""The background's contract: what lies behind all objects of an image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from renderers.base import Renderer

PREFIX = "background."
"""Beginning of the names of a model's weights that are its background's."""
RECORD = "background"
"""Where checkpoints say whose background they hold."""
LOOKED_AT = 256
"""Of so many images, the first by number, a background looks at most."""


class NoBackground(ValueError):
    """The images, or the file, that were given make no background."""


class Backdrop(NamedTuple):
    """The backgrounds of B images.

    Attributes:
        image: (C, H, W), one for all, or (B, C, H, W).
        kl: (B,) nats, of what was inferred of each background, to its prior. None where nothing is inferred.
        log_ratio: (B,), log q - log p of the sample that was drawn, whose mean is ``kl``. None likewise.
    """

    image: Tensor
    kl: Tensor | None = None
    log_ratio: Tensor | None = None


class Background(nn.Module, ABC):
    """One layer below the first slot. It takes part in every one of the N + 1 canvases, so the count's sum stays exact.

    A plug-in writes ``forward``; ``prepare`` where it needs the renderer; ``waits`` and ``fit`` where it needs images.
    What is computed or learnt is held in parameters and buffers, which checkpoints keep.
    """

    @abstractmethod
    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        """The backgrounds of images (B, C, H, W). ``sample``: draw what is inferred; otherwise take its mode."""

    def prepare(self, renderer: Renderer) -> None:
        """Build what depends on the renderer, once, before training or loading. Default: nothing."""

    @property
    def waits(self) -> bool:
        """Whether it has to look at images with ``fit`` before it is used. Default: no."""
        return False

    def fit(self, images: Tensor) -> None:
        """Look at images (M, C, H, W): of training before its first step, or of those that are evaluated."""

    @property
    def source(self) -> str:
        """What it was made from: a checkpoint's background is kept by a model whose background says the same."""
        return type(self).__name__

    def check(self) -> None:
        """NoBackground where it could not be used, no checkpoint having what it needs. Default: nothing is wrong."""

    def adopted(self, kept: Any) -> None:
        """It has a checkpoint's weights, and what ``state`` gave when these were saved. Default: nothing to do."""

    def state(self) -> Any:
        """What else a checkpoint is to hold, of plain types. Default: nothing."""
        return None


class FittedBackground(Background):
    """One that is made of images before it is used, once: ``fit`` sets ``fitted``, which checkpoints keep."""

    fitted: Tensor

    def prepare(self, renderer: Renderer) -> None:
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @property
    def waits(self) -> bool:
        return not bool(self.fitted)


def with_own(weights: Mapping[str, Tensor], background: Background | None, kept: Any) -> dict[str, Tensor]:
    """A checkpoint's weights, with the background's own in the place of those of another background.

    kept: what the checkpoint says of its own (``record``); None where it has none.
    """
    if (kept and kept["source"]) == (background and background.source):
        return dict(weights)
    others = {name: weight for name, weight in weights.items() if not name.startswith(PREFIX)}
    return others if background is None else others | {PREFIX + k: v for k, v in background.state_dict().items()}


def record(background: Background) -> dict[str, Any]:
    """What a checkpoint says of its background."""
    return {"source": background.source, "state": background.state()}
