"""The contract of a mesh backend, and how one is found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.mesh.projection import Scenery
from renderers.pixel_loss import LINEAR, SQUARED, Normal, PixelLoss

# name: module and class; imported when asked for, for it may need what is not installed
BACKENDS = {
    "embedded": ("renderers.mesh.backends.embedded", "Embedded"),
    "pytorch3d": ("renderers.mesh.backends.pytorch3d", "PyTorch3D"),
}


T = TypeVar("T")


class Holdings(Generic[T]):
    """What a backend keeps in each device's memory: made with the first image there, and left out of pickles.

    Args:
        scenery: what it is made of. make: how, for a device; a function that pickle finds by its name.
    """

    def __init__(self, scenery: Scenery, make: Callable[[Scenery, torch.device], T]) -> None:
        self._scenery, self._make = scenery, make
        self._made: dict[torch.device, T] = {}

    def on(self, device: torch.device) -> T:
        if device not in self._made:
            self._made[device] = self._make(self._scenery, device)
        return self._made[device]

    def __reduce__(self) -> tuple[Any, ...]:
        return Holdings, (self._scenery, self._make)


def to_device(array: Any, device: torch.device) -> Tensor:
    """An array as a contiguous tensor of the device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


class Backend(ABC):
    """Draws the meshes of one ``Scenery``. SH and SW are its height and width in samples, H and W those in pixels.

    ``identities`` are int64, ``poses`` float32, on the device of the result: x, y, z (world units, of the object's
    foot) and yaw (radians), P = 4, or these and the attributes, ``renderers.mesh.attributes.COLUMNS``, P = 11. Neither
    needs a gradient. An object whose pose is not finite is not drawn.

    Args:
        scenery: meshes, camera, light and background.
    """

    def __init__(self, scenery: Scenery) -> None:
        self.scenery = scenery

    def viewed(self, rows: NDArray[Any], tables: NDArray[np.bool_]) -> "Backend":
        """A backend that draws B scenes, each with its own row of ``Scenery.views`` and of ``Scenery.tables``.

        Errors:
            ValueError: this one cannot.
        """
        raise ValueError(
            f"{type(self).__name__} draws all scenes with one camera: coordinates of the scene need backend 'embedded'"
        )

    @abstractmethod
    def layers(self, identities: Tensor, poses: Tensor) -> Tensor:
        """M objects, each alone: identities (M,) and poses (M, P) to (M, 4, SH, SW), red, green, blue and depth.

        (M, 5, SH, SW) where the light casts shadows, with the shade.
        """

    @abstractmethod
    def canvases(self, identities: Tensor, poses: Tensor, background: Tensor | None = None) -> Tensor:
        """Prefix canvases (B, N + 1, 3, H, W) of identities (B, N) and poses (B, N, P); canvas n shows the first n.

        ``background``: (1 or B, 3, SH, SW), float32, on the poses' device; None: the scenery's.
        """

    @abstractmethod
    def scores(
        self,
        identities: Tensor,
        poses: Tensor,
        other_identities: Tensor,
        other_poses: Tensor,
        target: Tensor,
        loss: PixelLoss | None,
        background: Tensor | None = None,
    ) -> Tensor:
        """What alternatives change, (B, N, M, N + 1), as ``Renderer.swap_scores`` defines it.

        Args:
            identities, poses: the slots, (B, N) and (B, N, P).
            other_identities, other_poses: M alternatives for each, (B, N, M) and (B, N, M, P).
            target: float32 images (B, 1, 3, H, W) where there is a ``loss``, otherwise (B, N + 1, 3, H, W).
            loss: one that has a code.
            background: as ``canvases`` takes it.
        """


class Scoring(NamedTuple):
    """What kernels add up over the pixels that change, as ``renderers.pixel_loss`` numbers it.

    Attributes:
        code: which. parameter: the loss's number besides its scale.
        scale: (3, H, W), contiguous float32; empty where the code does not read it.
        factor: of all sums.
    """

    code: int
    parameter: float
    scale: Tensor
    factor: Tensor | float = 1.0

    @classmethod
    def of(cls, loss: PixelLoss | None, target: Tensor) -> "Scoring":
        """What to do for targets (B, ..., 3, H, W), on their device."""
        empty = target.new_empty(3, 0, 0)
        if loss is None:
            return cls(LINEAR, 0.0, empty)
        assert loss.code is not None
        scale = loss.scale.detach() if isinstance(loss.scale, Tensor) else loss.scale
        alike = not isinstance(scale, Tensor) or scale.numel() == 1
        if isinstance(loss, Normal) and alike:
            return cls(SQUARED, 0.0, empty, 0.5 / (scale.reshape(()) if isinstance(scale, Tensor) else scale) ** 2)
        shape = target.shape[-3:]
        wide = scale.expand(shape).to(target) if isinstance(scale, Tensor) else target.new_full(shape, scale)
        return cls(loss.code, loss.parameter, wide.contiguous())


def make_backend(name: str, scenery: Scenery) -> Backend:
    """The backend of that name.

    Raises:
        ValueError: there is none, or what it needs is not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown mesh backend {name!r}: choose one of {', '.join(BACKENDS)}")
    module, made = BACKENDS[name]
    result: Backend = getattr(import_module(module), made)(scenery)
    return result
