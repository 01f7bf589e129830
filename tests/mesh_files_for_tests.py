"""Small mesh files, and what is drawn of them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renderers.mesh import Mesh, read_mesh

QUARTERS = {(-1, 1): (0, 0, 1), (1, 1): (1, 1, 0), (1, -1): (0, 1, 0), (-1, -1): (1, 0, 0)}  # by the signs of x and z
GREY = (0.7, 0.7, 0.7)


def image(path: Path) -> None:
    """Red and green above, blue and yellow below."""
    path.parent.mkdir(exist_ok=True)
    quarters = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]]
    Image.fromarray(np.array(quarters, np.uint8).repeat(4, 0).repeat(4, 1)).save(path)


def drawn(path: Path, content: str | bytes, **options: Any) -> Mesh:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_mesh(path, symmetry=1, **options)


def areas(mesh: Mesh) -> NDArray[Any]:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2).astype(np.float64)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def mean(mesh: Mesh, where: Any = slice(None)) -> tuple[float, ...]:
    """The mean colour of faces, by area."""
    weights = areas(mesh)[where]
    return tuple(np.round((mesh.colors.mean(1)[where] * weights[:, None]).sum(0) / weights.sum(), 2).tolist())


def shows_quarters(mesh: Mesh) -> bool:
    """Whether a lying square has the image's colours where they belong."""
    middle = mesh.vertices[mesh.faces].mean(1)
    return all(
        mean(mesh, (np.sign(middle[:, 0]) == x) & (np.sign(middle[:, 2]) == z)) == color
        for (x, z), color in QUARTERS.items()
    )
