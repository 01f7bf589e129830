"""The inference network's contract: object after object, where first, then what."""

import copy
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn

from air_lightning.inference.scene import scene_head
from air_lightning.plugins.constructor_errors import check_made
from renderers.base import Renderer

State = Any


class Proposal(NamedTuple):
    """What a network says of one slot before it knows ``what``.

    Attributes:
        presence_logit: (B,).
        mean, sd: (B, K, P) of the Gaussian over the unconstrained pose, for each of K identities (K = 1 for a
            continuous ``what``). Circular coordinates: the angle itself.
    """

    presence_logit: Tensor
    mean: Tensor
    sd: Tensor


class WrongAnswer(ValueError):
    """What a network answers is not what its contract says."""


def proposed(network: "InferenceNetwork", images: Tensor, canvas: Tensor, state: State) -> "tuple[Proposal, State]":
    """``propose``. Errors: WrongAnswer, a ValueError, where it gives anything else than a proposal and a state."""
    found = network.propose(images, canvas, state)
    if isinstance(found, Proposal) or not (isinstance(found, (tuple, list)) and len(found) == 2):
        given = type(found).__name__
        raise WrongAnswer(f"{type(network).__name__}.propose must give a pair, (Proposal, state), got a {given}")
    return found[0], found[1]


def check_shape(network: object, part: str, found: Tensor, expected: tuple[int, ...]) -> None:
    """WrongAnswer unless what a method of a network gave is of this shape, behind the axis of images.

    Some wrong ones would be broadcast, and train without a word.
    """
    if found.shape[1:] != expected:
        shapes = [", ".join(str(size) for size in ("B", *shape)) for shape in (expected, found.shape[1:])]
        raise WrongAnswer(f"{type(network).__name__}.{part} must be of shape ({shapes[0]}), got ({shapes[1]})")


class InferenceNetwork(nn.Module, ABC):
    """Explains an image slot by slot. Subclasses take ``renderer`` first and their own options after it."""

    needs_canvas: bool = True
    """Whether ``propose`` looks at the canvas so far; if not, nothing is drawn between slots."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        check_made(renderer)
        self.where_space, self.what_space = renderer.where, renderer.what
        self.identity_count, self.image_shape = renderer.identity_count, renderer.image_shape
        self._geometry = (renderer.window, renderer.unproject, renderer.facing)
        self.scene_size = 0 if renderer.scene is None else len(renderer.scene)
        self.scene = scene_head(renderer)
        self._scene_seen: Tensor | None = None

    def at(self, renderer: Renderer) -> "InferenceNetwork":
        """The network, with the same weights, for images whose scenes are the renderer's (``Renderer.at``)."""
        if renderer.scene is None:
            return self
        placed = copy.copy(self)
        placed._geometry = (renderer.window, renderer.unproject, renderer.facing)
        placed._scene_seen = renderer.scene.unconstrain(renderer.scene_values)
        return placed

    def scene_seen(self, images: Tensor) -> Tensor:
        """The unconstrained coordinates (B, S) of the images' scenes, to read poses by."""
        if self._scene_seen is None:
            return images.new_empty(images.shape[0], 0)
        return self._scene_seen.to(images).expand(images.shape[0], -1)

    @property
    def kinds(self) -> int:
        """``identity_count`` by its name of before, for plug-ins that read it."""
        return self.identity_count

    @abstractmethod
    def initial(self, images: Tensor) -> State:
        """State before the first slot, for images (B, C, H, W)."""

    def start(self, images: Tensor, whitening: Tensor | None) -> State:
        """``initial``, for a network that weighs residuals, too. Default: ``initial``.

        ``whitening``: how much a residual counts at each pixel against others, which broadcasts to the images; the
        inverse of the noise's scale, 1 on average. None: all alike.
        """
        return self.initial(images)

    @abstractmethod
    def propose(self, images: Tensor, canvas: Tensor, state: State) -> tuple[Proposal, State]:
        """Presence and pose of the next slot, given the canvas (B, C, H, W) of the slots so far."""

    def looked_at(self, state: State) -> Tensor | None:
        """The part of the image by whose unexplained pixels the last proposal was drawn, affine (B, 2, 3).

        As ``Renderer.window`` gives it: half-extents, and the centre in the last column. Search does not look there
        again in vain. Default: None, the proposed object's own window.
        """
        return None

    @abstractmethod
    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: State) -> Tensor:
        """Parameters of ``what``'s posterior given sampled poses ``where`` (B, K, P).

        Categorical: identity logits (B, K). Gaussian of dimension D: mean and log sd, (B, 2 D).
        """

    def observe(self, state: State, what: Tensor, where: Tensor) -> State:
        """Take note of the slot's sample, ``what`` (B,) or (B, D) and ``where`` (B, P). Default: nothing."""
        return state
