"""COCO's JSON: `images`, `annotations` with boxes x, y, width, height in pixels, and `categories` (Lin et al. 2014)."""

from collections import Counter
from typing import Any

from datamodules.truth.record import TrueObject, TrueScene, TruthError


def holds(content: Any) -> bool:
    """Whether a file's content is of this format."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def scenes(content: Any) -> tuple[TrueScene, ...]:
    """The scenes of a file's content. An image without annotations is one without objects."""
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    numbers = Counter(image["id"] for image in content["images"])
    if twice := [number for number, times in numbers.items() if times > 1]:
        raise TruthError(f"two images have the id {twice[0]}")
    objects: dict[Any, list[TrueObject]] = {number: [] for number in numbers}
    for mark in content["annotations"]:
        if mark["image_id"] not in objects:
            raise TruthError(f"annotation {mark.get('id')} is of image_id {mark['image_id']}, which `images` lacks")
        if mark["category_id"] not in names:
            raise TruthError(f"annotation {mark.get('id')} has category_id {mark['category_id']}, not in `categories`")
        if mark.get("iscrowd"):
            raise TruthError(
                f"annotation {mark.get('id')} is a crowd, of objects that nobody has counted: leave it out"
            )
        x, y, width, height = (float(side) for side in mark["bbox"])
        objects[mark["image_id"]].append(TrueObject(names[mark["category_id"]], {}, (x, y, x + width, y + height)))
    return tuple(
        TrueScene(*_place(image), len(objects[image["id"]]), tuple(objects[image["id"]])) for image in content["images"]
    )


def _place(image: dict[str, Any]) -> tuple[str, int]:
    """File and number in it: of a file of several, as `predict` writes them, `file_name` ends in `#NUMBER`."""
    name, index = str(image["file_name"]), int(image.get("index", 0))
    return name.removesuffix(f"#{index}"), index
