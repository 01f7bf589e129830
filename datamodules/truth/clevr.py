"""CLEVR's JSON of scenes (Johnson et al. 2017): shape, colour, size, material, place and rotation of each object.

The shape is the identity. Masks are images beside the scenes' own: `mask_filename`, where a scene has that entry, or
NAME.mask.png of NAME.png; 0 is the ground, i the i-th object.
"""

import math
from typing import Any

import numpy as np

from datamodules.truth.masks import LabelImage
from datamodules.truth.record import Placed, TrueObject, TrueScene, Truth, TruthError
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
    scenes = source.content.get("scenes") if isinstance(source.content, dict) else None
    return isinstance(scenes, list) and all(isinstance(scene, dict) and "image_filename" in scene for scene in scenes)


def truth(source: Source) -> Truth:
    """What a file says."""
    scenes = source.content["scenes"]
    named = frozenset(str(scene["mask_filename"]).rpartition("/")[2] for scene in scenes if "mask_filename" in scene)
    true_scenes = tuple(_scene(scene) for scene in scenes)
    colors, materials = (
        {thing.attributes.get(name, "") for scene in true_scenes for thing in scene.objects}
        for name in ("color", "material")
    )
    return Truth(
        source.path, true_scenes, lambda path: path.name.endswith(".mask.png") or path.name in named,
        palette=PALETTE if colors <= set(PALETTE) else {}, materials=MATERIALS if materials <= set(MATERIALS) else {},
    )  # fmt: skip


def _scene(scene: dict[str, Any]) -> TrueScene:
    file = str(scene["image_filename"])
    objects = tuple(_object(f"object {i} of {file}", thing) for i, thing in enumerate(scene["objects"], 1))
    return TrueScene(file, 0, len(objects), objects, LabelImage(str(scene.get("mask_filename", "")), len(objects)))


def _object(title: str, thing: dict[str, Any]) -> TrueObject:
    if missing := [name for name in ("shape", "3d_coords", "rotation") if name not in thing]:
        raise TruthError(f"{title} has no `{missing[0]}`")
    attributes = {name: str(thing[name]) for name in ATTRIBUTES if name in thing}
    numbers = [*thing["3d_coords"], thing["rotation"]]
    if len(numbers) != 4 or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise TruthError(
            f"{title} has the 3d_coords {thing['3d_coords']} and the rotation {thing['rotation']}: expected x, y, z, "
            "and degrees"
        )
    x, y, z, degrees = (float(number) for number in numbers)
    return TrueObject(attributes["shape"], {}, None, attributes, Placed((x, y, z), math.radians(degrees)))
