"""The colours of mesh files: of vertices, faces and materials at the corners, of textures baked to faces."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.part import Array, Part
from renderers.mesh.srgb import decoded, encoded

SAMPLES = 12  # along a face's edge, when its texture is looked at
COARSE = 4  # a textured face is not longer than so many times the detail, lest its samples overlook something
ENOUGH = 0.06  # colours that differ by less are not worth a cut
AT_ONCE = 50_000  # faces whose texture is looked at together: so much memory is enough


def _grid() -> Array:
    """Shares (78, 3) of a face's corners at points spread evenly over it."""
    steps = (np.arange(SAMPLES) + 1 / 3) / SAMPLES
    a, b = (part.ravel() for part in np.meshgrid(steps, steps))
    return np.stack([1 - a - b, a, b], 1)[a + b < 1]


GRID = _grid()


class Soup(NamedTuple):
    """Triangles without neighbours.

    Attributes:
        corners: (F, 3, 3). colors: (F, 3, 3), the RGB at each.
        linear: (F,), whose colours are linear numbers; the others' are sRGB.
    """

    corners: Array
    colors: Array
    linear: NDArray[np.bool_]

    @property
    def srgb(self) -> Array:
        """The colours (F, 3, 3) as sRGB."""
        return np.where(self.linear[:, None, None], encoded(self.colors), self.colors)


def of_srgb(corners: Array, colors: Array) -> Soup:
    """Triangles (F, 3, 3) with sRGB colours (F, 3, 3)."""
    return Soup(corners, colors, np.zeros(len(corners), bool))


def painted(parts: list[Part], detail: float) -> Soup:
    """The coloured triangles of parts.

    Textured faces are cut while they are longer than ``COARSE`` times ``detail``, or than ``detail`` and the texture
    differs within them; what comes of them has one texel each, the mean of the texture there. A texture that is the
    same everywhere cuts nothing.
    """
    return _together([soup for part in parts for soup in _part(part, detail)])


def _together(soups: list[Soup]) -> Soup:
    return Soup(*(np.concatenate(arrays) for arrays in zip(*soups)))


def _part(part: Part, detail: float) -> list[Soup]:
    if part.texture is None or part.uv is None:
        return [Soup(part.corners, part.tint, np.full(len(part.corners), part.linear))]
    return [soup for some in portions(part) for soup in _baked(some, detail)]


def colors_at(part: Part, face: NDArray[np.int64], shares: Array) -> Array:
    """The sRGB (N, 3) at points of a part: on the faces (N,), at shares (N, 3) of these faces' corners."""
    tint = np.einsum("nc,ncd->nd", shares, part.tint[face])
    if part.texture is None or part.uv is None:
        return encoded(tint) if part.linear else tint
    return _tinted(part.texture.at(np.einsum("nc,ncd->nd", shares, part.uv[face]))[:, :3], tint, part.linear)


def _tinted(texel: Array, tint: Array, linear: bool) -> Array:
    """The sRGB of a texture's colour under a factor; glTF 2.0, 3.9.2: base colours are multiplied as linear ones."""
    return encoded(decoded(texel) * tint) if linear else texel * tint


def portions(part: Part) -> list[Part]:
    """The part in pieces of ``AT_ONCE`` faces and less."""
    return [part.some(np.arange(i, min(i + AT_ONCE, len(part.corners)))) for i in range(0, len(part.corners), AT_ONCE)]


def _baked(part: Part, detail: float) -> list[Soup]:
    assert part.texture is not None and part.uv is not None
    done, uniform = list[Soup](), np.bool_(part.texture.contrast <= ENOUGH)
    while len(part.corners):
        seen = part.texture.at(GRID @ part.uv)[..., :3]
        mean = seen.mean(1)
        varied = np.abs(seen - mean[:, None]).max((1, 2)) > ENOUGH
        longest = lengths(part.corners).max(1)
        cut = (varied & (longest > detail)) | ((longest > COARSE * detail) & ~uniform)
        done.append(of_srgb(part.corners[~cut], _tinted(mean[~cut, None], part.tint[~cut], part.linear)))
        part = halves(part.some(cut))
    return done


def lengths(corners: Array) -> Array:
    """(F, 3): of the edge from each corner to the next."""
    return np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=2)


def halves(part: Part) -> Part:
    """Every face cut in two across its longest edge."""
    order = (lengths(part.corners).argmax(1)[:, None] + np.arange(3)) % 3  # the longest edge from corner 0 to 1

    def halved(values: Array) -> Array:
        a, b, c = (values[np.arange(len(values)), order[:, i]] for i in range(3))
        middle = (a + b) / 2
        return np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])

    uv = None if part.uv is None else halved(part.uv)
    return part._replace(corners=halved(part.corners), tint=halved(part.tint), uv=uv)
