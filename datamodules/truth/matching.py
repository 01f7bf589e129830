"""Which scene of a truth is of which image of a folder."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.truth.record import TrueScene

Place = tuple[Path, int]
"""An image's file and its number there."""


def in_order(name: str, scenes: Sequence[TrueScene], folder: Path, places: Sequence[Place]) -> list[TrueScene]:
    """The scene of each image.

    A scene's file is a path below the folder, an absolute one, or a name that is there once.

    Args:
        name: of the truth, for messages.
    Raises:
        ValueError: scenes and images are not one for one.
    """
    rows = {(path.relative_to(folder).as_posix(), index): row for row, (path, index) in enumerate(places)}
    top = folder.resolve()
    by_name: dict[tuple[str, int], list[int]] = {}
    for place, (path, index) in enumerate(places):
        by_name.setdefault((path.name, index), []).append(place)
    found: dict[int, TrueScene] = {}
    for scene in scenes:
        row, reason = _row(scene, rows, by_name, top)
        image = scene.file if not scene.index else f"{scene.file} (index {scene.index})"
        if row is None:
            raise ValueError(f"{name} tells of {image}, which {reason} folder={str(folder)!r}: correct its name")
        if row in found:
            raise ValueError(f"{name} tells of {image} twice: leave one out")
        found[row] = scene
    if missing := [row for row in range(len(places)) if row not in found]:
        first = places[missing[0]][0].relative_to(folder)
        raise ValueError(
            f"{name} says nothing of {len(missing)} of the {len(places)} images in folder={str(folder)!r} ({first} "
            "first): tell of all of them, or move them out"
        )
    return [found[row] for row in range(len(places))]


def _row(
    scene: TrueScene, rows: dict[tuple[str, int], int], by_name: dict[tuple[str, int], list[int]], top: Path
) -> tuple[int | None, str]:
    """The image's row, or None and why not."""
    path = Path(scene.file)
    if path.is_absolute():
        inside = path.relative_to(top).as_posix() if path.is_relative_to(top) else scene.file
        return rows.get((inside, scene.index)), "is not in"
    exact = rows.get((scene.file, scene.index))
    same = by_name.get((path.name, scene.index), [])
    row = same[0] if exact is None and len(same) == 1 else exact
    return row, f"is {len(same)} times in" if same else "is not in"
