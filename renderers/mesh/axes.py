"""Which way is up in other programs' frames, and how long their units are."""

from typing import Literal

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]
Unit = Literal["m", "cm", "mm"]

# rows: our x (right), y (up), z (towards the viewer) in axes of theirs; rotations, so nothing is mirrored
UPRIGHT: dict[str, list[list[int]]] = {
    "x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "-x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "-y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "-z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
}
MILLIMETRES: dict[str, float] = {"m": 1000.0, "cm": 10.0, "mm": 1.0}


def check_axis(name: str, axis: str) -> None:
    """ValueError, with what it is the ``name`` of, unless it is one of the six."""
    if axis not in UPRIGHT:
        raise ValueError(f"{name} must be one of {', '.join(UPRIGHT)}, got {axis!r}")


def check_unit(name: str, unit: str) -> None:
    """ValueError, with what it is the ``name`` of, unless it is a unit that is known."""
    if unit not in MILLIMETRES:
        raise ValueError(f"{name} must be one of {', '.join(MILLIMETRES)}, got {unit!r}")
