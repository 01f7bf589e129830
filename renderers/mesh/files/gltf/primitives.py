"""Primitives of glTF: triangles, and what their vertices have; glTF 2.0, 3.7."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.gltf.accessors import COMPONENTS, TYPES, fractions, numbers, table, whole
from renderers.mesh.files.gltf.document import Document, Item
from renderers.mesh.files.gltf.draco import decompressed
from renderers.mesh.files.part import Array
from renderers.mesh.files.texts import BROKEN

TRIANGLES, STRIP, FAN = 4, 5, 6


class Shape(NamedTuple):
    """A primitive's triangles, morphed, not yet posed by a skin.

    ``faces`` (F, 3); of its vertices ``positions`` (V, 3), linear RGBA ``colors`` (V, 4), and of its skin ``joints``
    and ``weights`` (V, 4 S).
    """

    faces: NDArray[np.int64]
    positions: Array
    colors: Array | None
    joints: NDArray[np.int64] | None
    weights: Array | None


class Primitive:
    """One primitive of a mesh, with these weights of its morph targets.

    Errors:
        ValueError where it has other things in other numbers than positions, or a face a vertex that is not there.
    """

    def __init__(self, document: Document, primitive: Item, weights: Array) -> None:
        self._document, self._content = document, primitive
        self._attributes, self._packed = primitive["attributes"], decompressed(document, primitive)
        self._morphs = [(w, t) for w, t in zip(weights, primitive.get("targets", [])) if w]
        self._count = 0

    @property
    def material(self) -> object:
        """Its number; None without one."""
        return self._content.get("material")

    def shape(self) -> Shape | None:
        """None where it has no triangles, but points or lines."""
        mode = self._content.get("mode", TRIANGLES)
        if mode not in (TRIANGLES, STRIP, FAN) or "POSITION" not in self._attributes:
            return None
        positions = self._values("POSITION", "VEC3")
        self._count = len(positions)
        faces = _faces(self._indices(), mode)
        if faces.size and (faces.max() >= self._count or faces.min() < 0):
            raise ValueError(
                f"a face has vertex {faces.max()}, out of range: there are {self._count}, counted from 0; {BROKEN}"
            )
        return Shape(faces, positions, self._colors(), *self._skin())

    def texcoord(self, number: object) -> Array:
        """Texture coordinates (V, 2) of a set; all 0, as graphics cards have it, where there is none."""
        name = f"TEXCOORD_{number}"
        return self._values(name, "VEC2") if name in self._attributes else np.zeros((self._count, 2))

    def _values(self, name: str, *types: str) -> Array:
        """Those of an attribute (V, n), morphed."""
        values, normalized = self._table(name, types)
        real = fractions(values) if normalized else values.astype(np.float64)
        for weight, target in self._morphs:
            if name in target:
                change = numbers(self._document, target[name], *types)
                self._check(f"the morph of {name}", change, len(real))
                real = real + weight * change[:, : real.shape[1]]
        return real

    def _table(self, name: str, types: tuple[str, ...]) -> tuple[NDArray[Any], bool]:
        index = self._attributes[name]
        if self._packed is not None and name in self._packed.attributes:
            accessor = self._document.item("accessors", index)
            values = self._packed.attributes[name].astype(
                COMPONENTS[accessor["componentType"]]
            )  # it may be wider there
            normalized = bool(accessor.get("normalized")) and values.dtype.kind != "f"
            if values.shape[1] not in (TYPES[kind] for kind in types):
                raise ValueError(f"its compressed {name} has {values.shape[1]} numbers a vertex: {BROKEN}")
        else:
            values, normalized = table(self._document, index, *types)
        self._check(name, values, self._count or len(values))
        return values, normalized

    def _check(self, name: str, values: NDArray[Any], count: int) -> None:
        if len(values) != count:
            raise ValueError(f"it has {len(values)} of {name} for {count} vertices: {BROKEN}")

    def _indices(self) -> NDArray[np.int64]:
        if self._packed is not None:
            return self._packed.faces.ravel()
        if "indices" not in self._content:
            return np.arange(self._count)
        return whole(self._document, self._content["indices"], "SCALAR")[:, 0]

    def _colors(self) -> Array | None:
        """(V, 4); whole numbers are shares, whether marked as such or not."""
        if "COLOR_0" not in self._attributes:
            return None
        values, _ = self._table("COLOR_0", ("VEC3", "VEC4"))
        real = self._values("COLOR_0", "VEC3", "VEC4") if values.dtype.kind == "f" else fractions(values)
        return real if real.shape[1] == 4 else np.pad(real, ((0, 0), (0, 1)), constant_values=1.0)

    def _skin(self) -> tuple[NDArray[np.int64] | None, Array | None]:
        sets = [n for n in range(len(self._attributes)) if {f"JOINTS_{n}", f"WEIGHTS_{n}"} <= set(self._attributes)]
        if not sets:
            return None, None
        joints = [self._table(f"JOINTS_{n}", ("VEC4",))[0].astype(np.int64) for n in sets]
        weights = [fractions(self._table(f"WEIGHTS_{n}", ("VEC4",))[0]) for n in sets]
        return np.concatenate(joints, 1), np.concatenate(weights, 1)


def _faces(indices: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    """The triangles (F, 3) of a list, a strip or a fan of vertices; what is left over of a list is no triangle."""
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    places = np.arange(max(len(indices) - 2, 0))
    odd = places % 2
    if mode == STRIP:
        return indices[np.stack([places, places + 1 + odd, places + 2 - odd], 1)]
    return indices[np.stack([places + 1, places + 2, np.zeros_like(places)], 1)]
