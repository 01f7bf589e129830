"""The colours of mesh files: of vertices, faces and materials as they are, of textures baked to faces."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SAMPLES = 12  # along a face's edge, when its texture is looked at
COARSE = 4  # a textured face is not longer than so many times the detail, lest its samples overlook something
PLAIN = 0.7  # grey of what has no colour
ENOUGH = 0.06  # colours that differ by less are not worth a cut


class Soup(NamedTuple):
    """Triangles without neighbours: ``corners`` (F, 3, 3) and the RGB at each, ``colors`` (F, 3, 3)."""

    corners: Array
    colors: Array


class _Textured(NamedTuple):
    """Faces' corners (F, 3, 3), RGB factors there (F, 3, 3), and texture coordinates (F, 3, 2), v upward."""

    corners: Array
    tint: Array
    uv: Array


def painted(parts: list[Any], detail: float) -> Soup:
    """The coloured triangles of ``trimesh.Trimesh`` parts; a part without colours is grey.

    Textured faces are cut while they are longer than ``COARSE`` times ``detail``, or than ``detail`` and the texture
    differs within them; what comes of them has one colour each, the mean of the texture there. A texture that is the
    same everywhere cuts nothing.
    """
    soups = [_part(part, detail) for part in parts]
    return Soup(np.concatenate([s.corners for s in soups]), np.concatenate([s.colors for s in soups]))


def _part(part: Any, detail: float) -> Soup:
    visual, corners = part.visual, np.asarray(part.triangles, np.float64)
    if visual.kind == "face":
        return Soup(corners, np.repeat(_rgb(visual.face_colors)[:, None], 3, 1))
    if visual.kind == "vertex":
        return Soup(corners, _rgb(visual.vertex_colors)[part.faces])
    if visual.kind is None or getattr(visual, "material", None) is None:
        return Soup(corners, np.full_like(corners, PLAIN))
    tint, picture = _material(visual.material)
    factors = np.broadcast_to(tint, corners.shape)
    if "color" in visual.vertex_attributes:
        factors = factors * _rgb(visual.vertex_attributes["color"])[part.faces]
    if picture is None or visual.uv is None:
        return Soup(corners, factors)
    faces = _Textured(corners, factors, np.asarray(visual.uv, np.float64)[part.faces])
    return _baked(faces, np.asarray(picture.convert("RGB"), np.float64) / 255, detail)


def _material(material: Any) -> tuple[Array, Any]:
    """RGB factor and picture. Of glTF's materials the base colour times its picture; of OBJ's either."""
    if hasattr(material, "baseColorFactor"):
        factor = material.baseColorFactor
        return _rgb(np.asarray([1.0, 1.0, 1.0] if factor is None else factor)), material.baseColorTexture
    picture = getattr(material, "image", None)
    return (np.ones(3) if picture is not None else _rgb(np.asarray(material.main_color))), picture


def _rgb(values: NDArray[Any]) -> Array:
    """Whole numbers as shares of their type's largest, real ones as they are; without alpha."""
    values = np.asarray(values)
    scale = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return (values[..., :3] / scale).astype(np.float64)


def _baked(faces: _Textured, picture: Array, detail: float) -> Soup:
    steps = (np.arange(SAMPLES) + 1 / 3) / SAMPLES
    a, b = (part.ravel() for part in np.meshgrid(steps, steps))
    grid = np.stack([1 - a - b, a, b], 1)[a + b < 1]
    done, plain = list[Soup](), np.ptp(picture, axis=(0, 1)).max() <= ENOUGH
    while len(faces.corners):
        seen = _look_up(picture, grid @ faces.uv)
        mean = seen.mean(1)
        varied = np.abs(seen - mean[:, None]).max((1, 2)) > ENOUGH
        longest = _lengths(faces.corners).max(1)
        cut = (varied & (longest > detail)) | ((longest > COARSE * detail) & ~plain)
        done.append(Soup(faces.corners[~cut], mean[~cut, None] * faces.tint[~cut]))
        faces = _halves(_Textured(*(part[cut] for part in faces)))
    return Soup(np.concatenate([s.corners for s in done]), np.concatenate([s.colors for s in done]))


def _look_up(picture: Array, uv: Array) -> Array:
    """The texels (..., 3) of a picture (H, W, 3) at coordinates (..., 2); beyond [0, 1] it repeats."""
    height, width, _ = picture.shape
    column, row = np.floor(uv[..., 0] * width), np.floor((1 - uv[..., 1]) * height)
    return picture[row.astype(np.int64) % height, column.astype(np.int64) % width]


def _lengths(corners: Array) -> Array:
    """(F, 3): of the edge from each corner to the next."""
    return np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=2)


def _halves(faces: _Textured) -> _Textured:
    """Every face cut in two across its longest edge."""
    longest = _lengths(faces.corners).argmax(1)
    order = (longest[:, None] + np.arange(3)) % 3  # the longest edge goes from corner 0 to 1
    a, b, c = ([part[np.arange(len(part)), order[:, i]] for part in faces] for i in range(3))
    middle = [(one + other) / 2 for one, other in zip(a, b)]
    pairs = [np.concatenate([np.stack([p, m, r], 1), np.stack([m, q, r], 1)]) for p, q, r, m in zip(a, b, c, middle)]
    return _Textured(*pairs)
