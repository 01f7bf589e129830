"""Where objects are as rigid bodies, in the world's frame and in the camera's, with the unit said."""

from typing import NamedTuple

from torch import Tensor


class Placement(NamedTuple):
    """From the frame of an object's own model to another: x -> R x + t.

    Attributes:
        rotation: R (..., 3, 3). translation: t (..., 3).
    """

    rotation: Tensor
    translation: Tensor


class Frames(NamedTuple):
    """Objects' placements.

    Attributes:
        unit: of translations, m, cm or mm. world: in the scene's own frame. camera: in the camera's, x right, y down,
            z forward (OpenCV's).
    """

    unit: str
    world: Placement
    camera: Placement
