"""Points spread evenly over triangles, the same ones every time."""

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.placing import areas

Array = NDArray[np.float64]


def scattered(corners: Array, count: int) -> tuple[NDArray[np.int64], Array]:
    """Points on triangles (F, 3, 3) by area: their faces (count,), and their shares (count, 3) of the corners."""
    random = np.random.Generator(np.random.Philox(key=count))
    edges = np.cumsum(areas(corners))
    places = (np.arange(count) + random.uniform(size=count)) / count * edges[-1]
    face = np.minimum(np.searchsorted(edges, places), len(edges) - 1)
    a, b = random.uniform(size=(2, count))
    beyond = a + b > 1
    a, b = np.where(beyond, 1 - a, a), np.where(beyond, 1 - b, b)
    return face, np.stack([1 - a - b, a, b], 1)


def at(shares: Array, values: Array) -> Array:
    """What the corners' values (count, 3, D) are at points of these shares (count, 3)."""
    mixed: Array = np.einsum("nc,ncd->nd", shares, values)
    return mixed
