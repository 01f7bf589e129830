"""Which scene of a truth is of which image of a folder."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datamodules.truth.record import TrueScene

Place = tuple[Path, int]
"""An image's file and its number there."""
ByName = dict[tuple[str, int], list[tuple[int, Path]]]
"""Rows and paths below the folder of the images, by their files' names and their numbers there."""


def in_order(
    name: str, scenes: Sequence[TrueScene], folder: Path, places: Sequence[Place], left_out: Sequence[Path] = ()
) -> list[TrueScene]:
    """The scene of each image.

    A scene's file is a path below the folder, an absolute one, or the end of such a path that one image alone has, its
    name for one: `images/a.png` where the folder is `images`. What is told of files that are ``left_out`` is not used.

    Args:
        name: of the truth, for messages.
    Raises:
        ValueError: scenes and images are not one for one.
    """
    rows, by_name = _known(folder, places)
    aside = _known(folder, [(path, 0) for path in left_out])
    tops = (folder.resolve(), folder.absolute())
    found: dict[int, TrueScene] = {}
    for scene in scenes:
        file = replace(scene, index=0)
        if left_out and _row(file, aside[0], {}, tops)[0] is not None:
            continue
        row, reason = _row(scene, rows, by_name, tops)
        if row is None and _row(file, *aside, tops)[0] is not None:
            continue
        image = scene.file if not scene.index else f"{scene.file} (index {scene.index})"
        if row is None:
            raise ValueError(
                f"{name} tells of {image}, which {reason} folder={str(folder)!r}: {_remedy(scene, by_name, reason)}"
            )
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


def _known(folder: Path, places: Sequence[Place]) -> tuple[dict[tuple[str, int], int], ByName]:
    """Rows of images by their paths below the folder, and by their names."""
    paths = [(path.relative_to(folder), index) for path, index in places]
    by_name: ByName = {}
    for row, (path, index) in enumerate(paths):
        by_name.setdefault((path.name, index), []).append((row, path))
    return {(path.as_posix(), index): row for row, (path, index) in enumerate(paths)}, by_name


def _row(
    scene: TrueScene, rows: dict[tuple[str, int], int], by_name: ByName, tops: tuple[Path, ...]
) -> tuple[int | None, str]:
    """The image's row, or None and why not."""
    path = Path(os.path.normpath(scene.file))
    if path.is_absolute():
        inside = next((path.relative_to(top).as_posix() for top in tops if path.is_relative_to(top)), scene.file)
        return rows.get((inside, scene.index)), "is not in"
    exact = rows.get((path.as_posix(), scene.index))
    if exact is not None:
        return exact, ""
    ends = tuple(part for part in path.parts if part != "..")
    candidates = by_name.get((path.name, scene.index), [])
    same = [row for row, place in candidates if any((top / place).parts[-len(ends) :] == ends for top in tops)]
    return (same[0] if len(same) == 1 else None), f"is {len(same)} times in" if same else "is not in"


def _remedy(scene: TrueScene, by_name: ByName, reason: str) -> str:
    """What to do where no image is found, or several are."""
    if "times" in reason:
        return "give its path below the folder"
    there = by_name.get((Path(scene.file).name, scene.index), [])
    if not there:
        return "correct its name"
    return f"correct its folders, which are not those of {there[0][1].as_posix()}"
