"""Truth in the camera's frame, in millimetres, as poses of a renderer that says what its unit is."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.record import TrueObject
from renderers.base import Renderer
from renderers.mesh import MeshRenderer
from renderers.mesh.axes import MILLIMETRES
from renderers.mesh.frames import found
from renderers.mesh.pinhole import Intrinsics, Lens

COORDINATES = ("x", "y", "z", "yaw")
APART = 0.5
"""Pixels of the model's images by which a direction may be seen elsewhere by an image's own camera."""
Pose = Mapping[str, float | None]


def metric(name: str, renderer: Renderer) -> MeshRenderer:
    """The renderer, whose poses can be compared in a unit.

    Args:
        name: of the truth, for messages.
    Raises:
        ValueError: they cannot.
    """
    if not isinstance(renderer, MeshRenderer):
        raise ValueError(
            f"{name} has places in the camera's frame, and {type(renderer).__name__} has no such frame: MeshRenderer "
            "has; or leave `data.unit` out"
        )
    if renderer.units is None:
        raise ValueError(
            f"{name} has places in millimetres, and MeshRenderer does not say what a world unit is: give its units, m, "
            "cm or mm; or `data.unit` a number"
        )
    return renderer


def poses(name: str, things: Sequence[TrueObject], identities: Sequence[str | None], renderer: Renderer) -> list[Pose]:
    """Poses of objects seen by the renderer's camera.

    Raises:
        ValueError: it is not known how a model's axes lie.
    """
    draws = metric(name, renderer)
    meshes, names, unit = draws.drawn_meshes, draws.identities, MILLIMETRES[str(draws.units)]
    if None in identities and len({mesh.up for mesh in meshes}) > 1:
        raise ValueError(
            f"{name} is read without identities, and the models of MeshRenderer's differ in the axis that points up: "
            "give `data.identity`"
        )
    rows: list[Pose] = []
    for thing, identity in zip(things, identities):
        assert thing.seen is not None
        mesh = meshes[0 if identity is None else names.index(identity)]
        rows.append(found(mesh, draws.camera, thing.seen.rotation, thing.seen.translation / unit))
    return rows


def check_cameras(
    name: str,
    cameras: Sequence[NDArray[np.float64] | None],
    images: Sequence[str],
    sizes: NDArray[np.int64],
    renderer: Renderer,
) -> None:
    """ValueError where images were taken by another camera than the renderer's.

    Args:
        cameras: intrinsic matrices (3, 3) in pixels of the files. images: their names. sizes: (N, 2), width and height.
    """
    draws = metric(name, renderer)
    _, height, width = draws.image_shape
    mine = draws.camera.lens(width / height)
    for matrix, image, (w, h) in zip(cameras, images, sizes.tolist()):
        if matrix is None:
            raise ValueError(
                f"{name} does not tell the camera of {image} (cam_K of scene_camera.json), by which places in the "
                "camera's frame are seen: add it, or give `data.unit` a number"
            )
        theirs = Intrinsics.of(matrix, (h, w)).lens()
        apart = _apart(mine, theirs, height, width)
        if not apart <= APART:
            raise ValueError(
                f"{name} has {image} by a camera of {_told(theirs, height, width)}, scaled to the model's "
                f"{height}x{width}, and MeshRenderer's has {_told(mine, height, width)}: what one of them sees the "
                f"other sees up to {apart:.3g} pixels away, {APART} are allowed. Give model.renderer.camera.intrinsics "
                "those of the images, or take only images of one camera (`data.files`)"
            )


def _apart(a: Lens, b: Lens, height: int, width: int) -> float:
    """How far apart two lenses see the directions of the image's edges, pixels."""
    most = 0.0
    for k, side in ((0, width), (1, height)):
        scale = _focal(a)[k] / _focal(b)[k]
        shifts = [scale * (edge - b[3 + k]) + a[3 + k] - edge for edge in (-1, 1)]
        most = max(most, *(abs(shift) * side / 2 for shift in shifts))
    return most


def _focal(lens: Lens) -> tuple[float, float]:
    return lens.across / lens.aspect, lens.down


def _told(lens: Lens, height: int, width: int) -> str:
    k = lens.matrix(height, width)
    return f"fx {k[0, 0]:.4g}, fy {k[1, 1]:.4g}, cx {k[0, 2]:.4g}, cy {k[1, 2]:.4g}"
