"""CLEVR's JSON of scenes (Johnson et al. 2017): shape, colour, size, material, place and rotation of each object.

The shape is the identity. Masks are images beside the scenes' own: `mask_filename`, where a scene has that entry, or
NAME.mask.png of NAME.png; 0 is the ground, i the i-th object.
"""

import math
from typing import Any

import numpy as np

from datamodules.truth.entries import each, entry, has_any, numbers
from datamodules.truth.masks import LabelImage
from datamodules.truth.record import Placed, TrueObject, TrueScene, Truth
from datamodules.truth.source import Source
from renderers.mesh.srgb import encoded

COLORS = {
    "gray": (87, 87, 87), "red": (173, 35, 35), "blue": (42, 75, 215), "green": (29, 105, 20),
    "brown": (129, 74, 25), "purple": (129, 38, 192), "cyan": (41, 208, 208), "yellow": (255, 238, 51),
}  # fmt: skip
"""The data set's own numbers. Blender took them for linear shares of the light, over 255."""
PALETTE = {name: tuple(encoded(np.array(numbers) / 255).tolist()) for name, numbers in COLORS.items()}
"""RGB of those colours as images have it, sRGB."""
MATERIALS = {"rubber": 0.0, "metal": 1.0}
ATTRIBUTES = ("shape", "color", "size", "material")


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return isinstance(source.content, dict) and has_any(source.content.get("scenes"), "image_filename")


def truth(source: Source) -> Truth:
    """What a file says."""
    true_scenes = tuple(each(source.content, "scenes", _scene))
    places = {scene.masks.place for scene in true_scenes if isinstance(scene.masks, LabelImage)}
    named = frozenset(place.rpartition("/")[2] for place in places if place)
    colors, materials = (
        {thing.attributes.get(name, "") for scene in true_scenes for thing in scene.objects}
        for name in ("color", "material")
    )
    return Truth(
        source.path, true_scenes, lambda path: path.name in named,
        palette=PALETTE if colors <= set(PALETTE) else {}, materials=MATERIALS if materials <= set(MATERIALS) else {},
    )  # fmt: skip


def _scene(scene: dict[str, Any]) -> TrueScene:
    file = str(scene["image_filename"])
    objects = tuple(_object(f"object {i} of {file}", thing) for i, thing in enumerate(scene["objects"], 1))
    return TrueScene(file, 0, len(objects), objects, LabelImage(str(scene.get("mask_filename", "")), len(objects)))


def _object(title: str, thing: dict[str, Any]) -> TrueObject:
    with entry(title):
        shape = str(thing["shape"])
        x, y, z = numbers(title, "3d_coords", thing["3d_coords"], 3, "x, y, z").tolist()
        (degrees,) = numbers(title, "rotation", thing["rotation"], 1, "degrees").tolist()
        attributes = {name: str(thing[name]) for name in ATTRIBUTES if name in thing}
        return TrueObject(shape, {}, None, attributes, Placed((x, y, z), math.radians(degrees)))
