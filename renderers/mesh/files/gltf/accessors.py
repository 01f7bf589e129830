"""Accessors of glTF: tables of numbers in buffers; glTF 2.0, 3.6.2."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.gltf.document import Document, Item
from renderers.mesh.files.part import Array
from renderers.mesh.files.texts import BROKEN

TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5124: "<i4", 5125: "<u4", 5126: "<f4", 5130: "<f8"}
MOST = 100_000_000  # elements


def numbers(document: Document, index: object, *types: str) -> Array:
    """The table (N, n) of an accessor of one of ``types``; normalised whole numbers as real ones in [-1, 1]."""
    values, normalized = table(document, index, *types)
    return fractions(values) if normalized else values.astype(np.float64)


def fractions(values: NDArray[Any]) -> Array:
    """Whole numbers as shares of their type's largest, real ones as they are."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return np.maximum(values / np.iinfo(values.dtype).max, -1.0)


def whole(document: Document, index: object, *types: str) -> NDArray[np.int64]:
    """The table (N, n) of an accessor of whole numbers: indices, joints."""
    values, _ = table(document, index, *types)
    if values.dtype.kind == "f":
        raise ValueError(f"accessor {index} should have whole numbers, and has real ones: {BROKEN}")
    return values.astype(np.int64)


def table(document: Document, index: object, *types: str) -> tuple[NDArray[Any], bool]:
    """What an accessor has, (N, n) of its own type, and whether its whole numbers are normalised."""
    accessor = document.item("accessors", index)
    kind, component, count = accessor["type"], accessor["componentType"], accessor["count"]
    if kind not in types or component not in COMPONENTS:
        raise ValueError(
            f"accessor {index} is of type {kind} of {component}, and {' or '.join(types)} of "
            f"{', '.join(map(str, COMPONENTS))} is expected: {BROKEN}"
        )
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"accessor {index} has count {count}: {BROKEN}")
    dtype = np.dtype(COMPONENTS[component])
    values: NDArray[Any] = np.broadcast_to(np.zeros((), dtype), (count, TYPES[kind]))
    if "bufferView" in accessor:
        values = _strided(document, f"accessor {index}", accessor, dtype, values.shape)
    if "sparse" in accessor:
        values = _replaced(document, f"accessor {index}", accessor["sparse"], values)
    return values, bool(accessor.get("normalized")) and dtype.kind != "f"


def _strided(document: Document, name: str, place: Item, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows of ``shape`` (N, n) in a buffer view, one after the other or at the view's stride."""
    data, row = document.view(place["bufferView"]), shape[1] * dtype.itemsize
    stride = document.item("bufferViews", place["bufferView"]).get("byteStride") or row
    start = place.get("byteOffset", 0)
    end = start + (stride * (shape[0] - 1) + row if shape[0] else 0)
    if start < 0 or stride < row or end > len(data):
        raise ValueError(
            f"{name} has {shape[0]} rows of {row} bytes each, {stride} apart, from byte {start} of a buffer view of "
            f"{len(data)}: {BROKEN}"
        )
    return np.ndarray(shape, dtype, data, start, (stride, dtype.itemsize))


def _replaced(document: Document, name: str, sparse: Item, values: NDArray[Any]) -> NDArray[Any]:
    """The rows with those of a sparse accessor in their places; glTF 2.0, 3.6.2.3."""
    count, places = sparse["count"], sparse["indices"]
    if places["componentType"] not in (5121, 5123, 5125) or type(count) is not int or not 0 <= count <= len(values):
        raise ValueError(
            f"{name} replaces {count} of {len(values)} rows, by indices of type {places['componentType']}: {BROKEN}"
        )
    kind = np.dtype(COMPONENTS[places["componentType"]])
    rows = _strided(document, f"the indices of {name}", places, kind, (count, 1))[:, 0]
    if count and rows.max() >= len(values):
        raise ValueError(f"{name} replaces row {rows.max()}, counted from 0, of {len(values)}: {BROKEN}")
    values = values.copy()
    values[rows] = _strided(document, f"the values of {name}", sparse["values"], values.dtype, (count, values.shape[1]))
    return values
