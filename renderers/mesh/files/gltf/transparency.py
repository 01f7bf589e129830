"""What is left of triangles whose texture is transparent in places."""

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.painting import GRID, halves, lengths, portions
from renderers.mesh.files.part import Part, Texture

FINE = 0.03  # of the object's size: pieces smaller than that are there or not
ENOUGH = 1 / 3  # is there of a piece that is


def trimmed(part: Part, there: NDArray[np.bool_], size: float) -> Part:
    """The pieces of a part, of an object of this size, that are there; ``there`` (H, W) says it of its texels."""
    assert part.texture is not None
    shape = Texture(np.where(there, 255, 0).astype(np.uint8)[..., None], part.texture.wrap)
    done = [part.some(np.zeros(len(part.corners), bool))]
    for some in portions(part):
        done += _trimmed(some, shape, FINE * size)
    corners, tint, uv = (np.concatenate([p[i] for p in done]) for i in range(3))
    return part._replace(corners=corners, tint=tint, uv=uv)


def _trimmed(part: Part, shape: Texture, fine: float) -> list[Part]:
    done = list[Part]()
    while len(part.corners):
        assert part.uv is not None
        share = shape.at(GRID @ part.uv)[..., 0].mean(1)
        cut = (share > 0) & (share < 1) & (lengths(part.corners).max(1) > fine)
        done.append(part.some(~cut & (share >= ENOUGH)))
        part = halves(part.some(cut))
    return done
