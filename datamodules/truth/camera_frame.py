"""Truth in the camera's frame, in millimetres, as poses of a renderer that says what its unit is."""

from collections.abc import Mapping, Sequence

from datamodules.truth.record import TrueObject
from renderers.base import Renderer
from renderers.mesh import MeshRenderer
from renderers.mesh.axes import MILLIMETRES
from renderers.mesh.frames import pose_in_world
from renderers.mesh.pinhole import Lens

COORDINATES = ("x", "y", "z", "yaw")
APART = 0.5
"""Pixels of the model's images by which a direction may be seen elsewhere by an image's own camera."""
Pose = Mapping[str, float | None]


def renderer_with_units(name: str, renderer: Renderer) -> MeshRenderer:
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
    draws = renderer_with_units(name, renderer)
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
        rows.append(pose_in_world(mesh, draws.camera, thing.seen.rotation, thing.seen.translation / unit))
    return rows


def check_cameras(
    name: str,
    lenses: Sequence[Lens | None],
    images: Sequence[str],
    renderer: Renderer,
) -> None:
    """ValueError where images were taken by another camera than the renderer's.

    Args:
        lenses: of the images; None: not told. images: their names.
    """
    draws = renderer_with_units(name, renderer)
    _, height, width = draws.image_shape
    mine = draws.camera.lens(width / height)
    first = {lens: image for lens, image in zip(reversed(lenses), reversed(images))}  # there are few
    for theirs, image in reversed(first.items()):
        if theirs is None:
            raise ValueError(
                f"{name} does not tell the camera of {image} (cam_K of scene_camera.json), by which places in the "
                "camera's frame are seen: add it, or give `data.unit` a number"
            )
        if other := lens_mismatch(mine, theirs, height, width):
            raise ValueError(
                f"{name} has {image} by {other}. Give model.renderer.camera.intrinsics those of the images; where "
                "these differ, give `data.intrinsics` the renderer's, and all are seen by that camera"
            )


def lens_mismatch(renderers: Lens, images: Lens, height: int, width: int) -> str | None:
    """What is to be said where an image's lens is another than the renderer's, whose images have this size."""
    apart = renderers.apart(images, height, width)
    if apart <= APART:
        return None
    theirs, ours = images.described(height, width), renderers.described(height, width)
    return (
        f"a camera of {theirs}, scaled to the model's {height}x{width}, and the renderer's has {ours}: what one of "
        f"them sees the other sees up to {apart:.3g} pixels away, {APART} are allowed"
    )
