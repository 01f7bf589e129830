"""Scenes as JSON: `{"images": [{"file": "a.png", "count": 1, "objects": [{"kind": "cube", "x": 0.5, ...}]}]}`.

Of an object, `kind` (or `identity`) is its name, `box` its corners x0, y0, x1, y1, `attributes` names of what else is
known of it, and every other entry a coordinate of the renderer. Of an image, `index` is its number in a file of
several, `mask` a file beside the image, 0 the ground and i the i-th object; one of `count` and `objects` may be left
out.
"""

from typing import Any

from datamodules.truth.masks import LabelImage
from datamodules.truth.record import TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source

NAMES = ("kind", "identity")
OTHERS = (*NAMES, "box", "attributes")


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    images = source.content.get("images") if isinstance(source.content, dict) else None
    return isinstance(images, list) and all(isinstance(image, dict) and "file" in image for image in images)


def truth(source: Source) -> Truth:
    """What a file says."""
    scenes = tuple(_scene(image) for image in source.content["images"])
    masks = frozenset(scene.masks.place for scene in scenes if isinstance(scene.masks, LabelImage))
    return Truth(source.path, scenes, lambda path: path.name in masks)


def _scene(image: dict[str, Any]) -> TrueScene:
    file, objects = str(image["file"]), image.get("objects")
    count = image.get("count", None if objects is None else len(objects))
    if not isinstance(count, int) or count < 0:
        raise TruthError(f"image {file!r} has the count {count}: give `count` or `objects`")
    if objects is not None and len(objects) != count:
        raise TruthError(f"image {file!r} has the count {count} and {len(objects)} objects: correct one of them")
    masks = LabelImage(str(image["mask"]), count) if image.get("mask") else None
    true_objects = tuple(_object(file, thing) for thing in objects or ())
    return TrueScene(file, int(image.get("index", 0)), count, true_objects, masks)


def _object(file: str, thing: dict[str, Any]) -> TrueObject:
    rest = {name: value for name, value in thing.items() if name not in OTHERS}
    wrong = [name for name, value in rest.items() if value is not None and not isinstance(value, (int, float))]
    if wrong:
        raise TruthError(f"an object of image {file!r} has {wrong[0]}={rest[wrong[0]]!r}: a coordinate is a number")
    box = thing.get("box")
    if box is not None and len(box) != 4:
        raise TruthError(f"an object of image {file!r} has the box {box}: expected x0, y0, x1, y1")
    identity = next((str(thing[name]) for name in NAMES if thing.get(name) is not None), None)
    corners = None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    attributes = {name: str(value) for name, value in thing.get("attributes", {}).items()}
    return TrueObject(identity, rest, corners, attributes)
