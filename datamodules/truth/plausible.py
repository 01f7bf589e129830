"""Whether boxes and poses can be those of their images: what is plainly in another unit is refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datamodules.truth.record import TrueObject, TrueScene
from renderers.base import Renderer
from renderers.spaces import Coordinate

FAR = 10
"""How many times a coordinate's support, or its distance from 0, a pose may lie outside: units differ by more."""
Size = tuple[int, int]
"""Width and height."""


def image_scale(name: str, scene: TrueScene, path: Path, size: Size) -> tuple[float, float]:
    """Pixels of the image in this file for one of the truth's, in x and y.

    Args:
        name: of the truth, for messages. size: of the image.
    Raises:
        ValueError: the truth tells another size, and it has other proportions, or masks, which are not scaled.
    """
    if scene.size is None or scene.size == size:
        return 1.0, 1.0
    (told_width, told_height), (width, height) = scene.size, size
    if scene.masks is not None:
        why = "masks are not scaled"
    elif abs(width - told_width * height / told_height) >= 1 and abs(height - told_height * width / told_width) >= 1:
        why = "its proportions are others"
    else:
        return width / told_width, height / told_height
    raise ValueError(
        f"{name} tells of {scene.file} as of an image of {told_width}x{told_height} (width x height), and {path} has "
        f"{width}x{height}: {why}; give the images of which it tells (`data.resize` scales them, and all that is told)"
    )


def check_inside(name: str, thing: TrueObject, size: Size) -> None:
    """ValueError for a box wholly outside an image of this size, in the same pixels."""
    assert thing.box is not None
    x0, y0, x1, y1 = thing.box
    if x0 >= size[0] or y0 >= size[1] or (x0 < 0 and x1 <= 0) or (y0 < 0 and y1 <= 0):
        raise ValueError(
            f"{name}: {thing.title} has the box {x0:g}, {y0:g}, {x1:g}, {y1:g} (x0, y0, x1, y1), wholly outside its "
            f"image of {size[0]}x{size[1]} (width x height): correct it, or leave the object out"
        )


def bounds(coordinate: Coordinate) -> tuple[float, float]:
    """Between which values a pose may lie that is in the coordinate's unit; an angle's may be any."""
    if coordinate.circular:
        return -float("inf"), float("inf")
    low, high = coordinate.low, coordinate.high
    reach = FAR * max(high - low, abs(low), abs(high))
    return low - reach, high + reach


def check_poses(
    name: str,
    things: Iterable[TrueObject],
    poses: Iterable[Mapping[str, float | None]],
    renderer: Renderer,
    remedy: str,
) -> None:
    """ValueError, with the remedy, for poses that are in another unit than the renderer's."""
    limits = [(coordinate, bounds(coordinate)) for coordinate in renderer.where.coordinates]
    for thing, pose in zip(things, poses):
        for coordinate, (low, high) in limits:
            value = pose.get(coordinate.name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name}: {thing.title} has {foreign(coordinate, value, renderer)}: {remedy}")


def foreign(coordinate: Coordinate, value: float, renderer: Renderer) -> str:
    """What is said of a value beyond ``bounds``."""
    return (
        f"{coordinate.name}={value:.6g}, and {type(renderer).__name__} {coordinate.low:g} to {coordinate.high:g} "
        f"({coordinate.unit}), so the units are others"
    )
