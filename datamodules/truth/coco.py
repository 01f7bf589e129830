"""COCO's JSON: `images`, `annotations` and `categories` (Lin et al. 2014).

Of an annotation, `bbox` is x, y, width, height in pixels; `segmentation` polygons, or run lengths, compressed or not.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.truth import run_lengths
from datamodules.truth.entries import SHORT, box_of_sides, check_box, each, entry, numbers, whole
from datamodules.truth.record import Box, TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source

Annotation = dict[str, Any]
Mark = tuple[Annotation, TrueObject]
FAR = 10
"""Sides of an image within which a polygon's corners may lie about it."""


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return isinstance(source.content, dict) and {"images", "annotations", "categories"} <= source.content.keys()


def truth(source: Source) -> Truth:
    """What a file says. An image without annotations is one without objects."""
    content = source.content
    names = dict(each(content, "categories", lambda category: (category["id"], str(category["name"]))))
    _check_ids(content, "categories")
    _check_ids(content, "images")
    marks: dict[Any, list[Mark]] = {image["id"]: [] for image in content["images"]}
    for image, mark in each(content, "annotations", lambda annotation: _mark(annotation, marks, names)):
        marks[image].append(mark)
    _check_segmentations(content["annotations"])
    return Truth(source.path, tuple(each(content, "images", lambda image: _scene(image, marks[image["id"]]))))


def _check_ids(content: Any, name: str) -> None:
    for number, times in Counter(each(content, name, lambda value: value["id"])).items():
        if times > 1:
            raise TruthError(f"two {name} have the id {number}: give each its own")


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
            raise TruthError(f"{_title(mark)}: {error}") from error

    def _filled(self, polygons: list[list[float]]) -> NDArray[np.bool_]:
        from pycocotools import mask  # heavy, and needed only here

        filled = mask.merge(mask.frPyObjects(polygons, self.height, self.width))
        return run_lengths.decoded(filled | {"counts": filled["counts"].decode()})


def _scene(image: dict[str, Any], marks: Sequence[Mark]) -> TrueScene:
    """File and number in it: of a file of several, as `predict` writes them, `file_name` ends in `#NUMBER`."""
    name = str(image["file_name"])
    index = whole(f"image {name!r}", "index", image.get("index", 0))
    size = _size(image)
    annotations = [annotation for annotation, _ in marks]
    masks = None
    if marks and _is_segmented(annotations[0]):
        if size is None:
            raise TruthError(f"image {name!r} has no height and width, which its segmentations need: give both")
        masks = Segmentations(annotations, size[1], size[0])
        for annotation in annotations:
            with entry(_title(annotation)):
                _check_shape(annotation, masks)
    file, things = name.removesuffix(f"#{index}"), tuple(thing for _, thing in marks)
    return TrueScene(file, index, len(marks), things, masks, size=size)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height as the file tells them, in whose pixels boxes are; None where it tells neither."""
    if image.get("width") is None and image.get("height") is None:
        return None
    title = f"image {image['file_name']!r}"
    return whole(title, "width", image["width"], 1), whole(title, "height", image["height"], 1)


def _mark(annotation: Annotation, images: Container[Any], names: dict[Any, str]) -> tuple[Any, Mark]:
    """The id of an annotation's image, the annotation and its object."""
    _check(annotation, images, names)
    thing = TrueObject(names[annotation["category_id"]], {}, _box(annotation), title=_title(annotation))
    return annotation["image_id"], (annotation, thing)


def _title(annotation: Annotation) -> str:
    return f"annotation {annotation.get('id')}"


def _check(mark: Annotation, images: Container[Any], names: dict[Any, str]) -> None:
    title = _title(mark)
    if mark["image_id"] not in images:
        raise TruthError(f"{title} is of image_id {mark['image_id']}, which `images` lacks")
    if mark["category_id"] not in names:
        raise TruthError(f"{title} has category_id {mark['category_id']}, not in `categories`")
    if mark.get("iscrowd"):
        raise TruthError(f"{title} is a crowd, of objects that nobody has counted: leave it out")


def _check_segmentations(marks: Sequence[Annotation]) -> None:
    lacking = [mark for mark in marks if not _is_segmented(mark)]
    if lacking and len(lacking) < len(marks):
        raise TruthError(f"{_title(lacking[0])} has no segmentation and others have: give it to all, or to none")


def _check_shape(mark: Annotation, masks: Segmentations) -> None:
    """ValueError for a segmentation that cannot be the image's."""
    given, title = mark["segmentation"], _title(mark)
    if isinstance(given, dict):
        if list(given["size"]) != [masks.height, masks.width]:
            raise TruthError(
                f"{title} has run lengths of the size {given['size']}, its image is {[masks.height, masks.width]} "
                "(height, width)"
            )
        run_lengths.check(given, title)
        return
    if not isinstance(given, list):
        raise TruthError(f"{title} has the segmentation {given!r}: expected polygons, or run lengths")
    for polygon in given:
        if len(polygon) % 2 or len(polygon) < 6:
            raise TruthError(
                f"{title} has a polygon of {len(polygon)} numbers: expected x, y of three corners or more, one "
                "after the other"
            )
        _check_corners(polygon, masks, title)
    corners = np.array([corner for polygon in given for corner in polygon], np.float64).reshape(-1, 2)
    (x0, y0), (x1, y1) = corners.min(0).tolist(), corners.max(0).tolist()
    check_box(title, "segmentation", given, (x0, y0, x1, y1))
    if x0 >= masks.width or y0 >= masks.height or x1 <= 0 or y1 <= 0:
        raise TruthError(
            f"{title} has the segmentation {SHORT.repr(given)}, wholly outside its image of "
            f"{masks.height}x{masks.width} (height x width): correct it, or leave the object out"
        )


def _check_corners(polygon: Sequence[float], masks: Segmentations, title: str) -> None:
    """ValueError for corners that are no numbers, or so far outside that they are not in pixels."""
    corners = numbers(title, "polygon", polygon, len(polygon), "finite numbers").reshape(-1, 2)
    far = np.abs(corners) > FAR * max(masks.height, masks.width)
    if far.any():
        x, y = corners[far.any(1)][0].tolist()
        raise TruthError(
            f"{title} has a polygon with the corner {x:.6g}, {y:.6g}, far outside its image of "
            f"{masks.height}x{masks.width} (height x width): give pixels"
        )


def _is_segmented(mark: Annotation) -> bool:
    """Whether there is a segmentation; some programs write an empty list where there is none."""
    return bool(mark.get("segmentation"))


def _box(mark: Annotation) -> Box:
    box = box_of_sides(_title(mark), "bbox", mark["bbox"])
    check_box(_title(mark), "bbox", mark["bbox"], box)
    return box
