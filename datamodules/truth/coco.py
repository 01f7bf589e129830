"""COCO's JSON: `images`, `annotations` and `categories` (Lin et al. 2014).

Of an annotation, `bbox` is x, y, width, height in pixels; `segmentation` polygons, or run lengths, compressed or not.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.truth import run_lengths
from datamodules.truth.record import Box, TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source

Annotation = dict[str, Any]


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return isinstance(source.content, dict) and {"images", "annotations", "categories"} <= source.content.keys()


def truth(source: Source) -> Truth:
    """What a file says. An image without annotations is one without objects."""
    content = source.content
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    numbers = Counter(image["id"] for image in content["images"])
    if twice := [number for number, times in numbers.items() if times > 1]:
        raise TruthError(f"two images have the id {twice[0]}")
    marks: dict[Any, list[Annotation]] = {number: [] for number in numbers}
    for mark in content["annotations"]:
        _check(mark, marks, names)
        marks[mark["image_id"]].append(mark)
    _check_segmentations(content["annotations"])
    return Truth(source.path, tuple(_scene(image, marks[image["id"]], names) for image in content["images"]))


@dataclass(frozen=True)
class Segmentations:
    """The masks of an image's annotations."""

    marks: Sequence[Annotation]
    height: int
    width: int

    @property
    def optional(self) -> bool:
        return False

    def files(self, image: Path) -> Sequence[Path]:
        return ()

    def read(self, image: Path) -> NDArray[np.bool_]:
        return np.stack([self._mask(mark) for mark in self.marks])

    def _mask(self, mark: Annotation) -> NDArray[np.bool_]:
        given = mark["segmentation"]
        try:
            return run_lengths.decoded(given) if isinstance(given, dict) else self._filled(given)
        except TruthError as error:
            raise TruthError(f"annotation {mark.get('id')}: {error}") from error

    def _filled(self, polygons: list[list[float]]) -> NDArray[np.bool_]:
        from pycocotools import mask  # heavy, and needed only here

        filled = mask.merge(mask.frPyObjects(polygons, self.height, self.width))
        return run_lengths.decoded(filled | {"counts": filled["counts"].decode()})


def _scene(image: dict[str, Any], marks: Sequence[Annotation], names: dict[Any, str]) -> TrueScene:
    """File and number in it: of a file of several, as `predict` writes them, `file_name` ends in `#NUMBER`."""
    name, index = str(image["file_name"]), int(image.get("index", 0))
    objects = tuple(TrueObject(names[mark["category_id"]], {}, _box(mark)) for mark in marks)
    masks = None
    if marks and _is_segmented(marks[0]):
        masks = Segmentations(marks, int(image["height"]), int(image["width"]))
        for mark in marks:
            _check_shape(mark, masks)
    return TrueScene(name.removesuffix(f"#{index}"), index, len(objects), objects, masks)


def _check(mark: Annotation, images: dict[Any, Any], names: dict[Any, str]) -> None:
    title = f"annotation {mark.get('id')}"
    if mark["image_id"] not in images:
        raise TruthError(f"{title} is of image_id {mark['image_id']}, which `images` lacks")
    if mark["category_id"] not in names:
        raise TruthError(f"{title} has category_id {mark['category_id']}, not in `categories`")
    if mark.get("iscrowd"):
        raise TruthError(f"{title} is a crowd, of objects that nobody has counted: leave it out")


def _check_segmentations(marks: Sequence[Annotation]) -> None:
    lacking = [mark for mark in marks if not _is_segmented(mark)]
    if lacking and len(lacking) < len(marks):
        raise TruthError(
            f"annotation {lacking[0].get('id')} has no segmentation and others have: give it to all, or to none"
        )


def _check_shape(mark: Annotation, masks: Segmentations) -> None:
    """ValueError for a segmentation that cannot be the image's."""
    given, title = mark["segmentation"], f"annotation {mark.get('id')}"
    if isinstance(given, dict):
        if list(given["size"]) != [masks.height, masks.width]:
            raise TruthError(
                f"{title} has run lengths of the size {given['size']}, its image is {[masks.height, masks.width]} "
                "(height, width)"
            )
        return
    for polygon in given:
        if len(polygon) % 2 or len(polygon) < 6:
            raise TruthError(
                f"{title} has a polygon of {len(polygon)} numbers: expected x, y of three corners or more, one "
                "after the other"
            )


def _is_segmented(mark: Annotation) -> bool:
    """Whether there is a segmentation; some programs write an empty list where there is none."""
    return bool(mark.get("segmentation"))


def _box(mark: Annotation) -> Box:
    sides = [float(side) for side in mark["bbox"]]
    if len(sides) != 4 or not np.isfinite(sides).all() or min(sides[2:]) < 0:
        raise TruthError(f"annotation {mark.get('id')} has the bbox {mark['bbox']}: expected x, y, width, height")
    x, y, width, height = sides
    return x, y, x + width, y + height
