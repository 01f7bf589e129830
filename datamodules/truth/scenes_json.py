"""Scenes as JSON: `{"images": [{"file": "a.png", "count": 1, "objects": [{"kind": "cube", "x": 0.5, ...}]}]}`.

Of an object, `kind` (or `identity`) is its name, `box` its corners x0, y0, x1, y1, `attributes` names of what else is
known of it, and every other entry a coordinate of the renderer. Of an image, `index` is its number in a file of
several, `mask` a file beside the image, 0 the ground and i the i-th object; one of `count` and `objects` may be left
out.
"""

from typing import Any

from datamodules.truth.entries import check_box, each, entry, has_any, is_number, numbers, whole
from datamodules.truth.masks import LabelImage
from datamodules.truth.record import Box, TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source

NAMES = ("kind", "identity")
OTHERS = (*NAMES, "box", "attributes")


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return isinstance(source.content, dict) and has_any(source.content.get("images"), "file")


def truth(source: Source) -> Truth:
    """What a file says."""
    scenes = tuple(each(source.content, "images", _scene))
    masks = frozenset(scene.masks.place for scene in scenes if isinstance(scene.masks, LabelImage))
    return Truth(source.path, scenes, lambda path: path.name in masks)


def _scene(image: dict[str, Any]) -> TrueScene:
    file, objects = str(image["file"]), image.get("objects")
    count = image.get("count", None if objects is None else len(objects))
    if type(count) is not int or count < 0:
        raise TruthError(f"image {file!r} has the count {count}: give `count` or `objects`")
    if objects is not None and len(objects) != count:
        raise TruthError(f"image {file!r} has the count {count} and {len(objects)} objects: correct one of them")
    masks = LabelImage(str(image["mask"]), count) if image.get("mask") else None
    true_objects = tuple(_object(f"object {i} of image {file!r}", thing) for i, thing in enumerate(objects or (), 1))
    index = whole(f"image {file!r}", "index", image.get("index", 0))
    return TrueScene(file, index, count, true_objects, masks)


def _object(title: str, thing: dict[str, Any]) -> TrueObject:
    with entry(title):
        rest = {name: value for name, value in thing.items() if name not in OTHERS}
        for name, value in rest.items():
            if value is not None and not is_number(value):
                raise TruthError(f"{title} has {name}={value!r}: a coordinate is a finite number")
        identity = next((str(thing[name]) for name in NAMES if thing.get(name) is not None), None)
        attributes = {name: str(value) for name, value in thing.get("attributes", {}).items()}
        return TrueObject(identity, rest, _box(title, thing.get("box")), attributes, title=title)


def _box(title: str, given: Any) -> Box | None:
    if given is None:
        return None
    x0, y0, x1, y1 = numbers(title, "box", given, 4, "x0, y0, x1, y1").tolist()
    if x1 < x0 or y1 < y0:
        raise TruthError(f"{title} has the box {given}: expected x0, y0, x1, y1, the upper left corner first")
    check_box(title, "box", given, (x0, y0, x1, y1))
    return x0, y0, x1, y1
