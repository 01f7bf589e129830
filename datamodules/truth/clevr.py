"""CLEVR's JSON of scenes (Johnson et al. 2017): shape, colour, size, material, place and rotation of each object.

The shape is the identity. Masks are images beside the scenes' own: `mask_filename`, where a scene has that entry, or
NAME.mask.png of NAME.png; 0 is the ground, i the i-th object.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from datamodules.truth.entries import each, entry, has_any, numbers
from datamodules.truth.masks import LabelImage
from datamodules.truth.record import Placed, TrueObject, TrueScene, Truth
from datamodules.truth.source import Source
from renderers.first_process import warn
from renderers.mesh.srgb import encoded

COLORS = {
    "gray": (87, 87, 87), "red": (173, 35, 35), "blue": (42, 75, 215), "green": (29, 105, 20),
    "brown": (129, 74, 25), "purple": (129, 38, 192), "cyan": (41, 208, 208), "yellow": (255, 238, 51),
}  # fmt: skip
"""The data set's own numbers. Blender took them for linear shares of the light, over 255."""
PALETTE = {name: tuple(encoded(np.array(numbers) / 255).tolist()) for name, numbers in COLORS.items()}
"""RGB of those colours as images have it, sRGB."""
MATERIALS = {"rubber": 0.0, "metal": 1.0}
T = TypeVar("T")
ATTRIBUTES = ("shape", "color", "size", "material")


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return isinstance(source.content, dict) and has_any(source.content.get("scenes"), "image_filename")


def truth(source: Source) -> Truth:
    """What a file says."""
    true_scenes = tuple(each(source.content, "scenes", _scene))
    places = {scene.masks.place for scene in true_scenes if isinstance(scene.masks, LabelImage)}
    named = frozenset(place.rpartition("/")[2] for place in places if place)
    things = [thing for scene in true_scenes for thing in scene.objects]
    return Truth(
        source.path, true_scenes, lambda path: path.name in named,
        palette=_if_known(source, things, "color", PALETTE), materials=_if_known(source, things, "material", MATERIALS),
    )  # fmt: skip


def _if_known(source: Source, things: Sequence[TrueObject], name: str, known: Mapping[str, T]) -> Mapping[str, T]:
    """``known``, where each object's attribute is one of these; else nothing, which is said unless none has it."""
    unknown = [thing for thing in things if thing.attributes.get(name) not in known]
    if not unknown:
        return known
    if any(name in thing.attributes for thing in things):
        value = unknown[0].attributes.get(name)
        warn(
            f"truth={str(source.path)!r}: {unknown[0].title} has {f'the {name} {value!r}' if value else f'no {name}'}, "
            f"CLEVR has {', '.join(known)}: what is inferred of the objects' {name} is not measured"
        )
    return {}


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
        return TrueObject(shape, {}, None, attributes, Placed((x, y, z), math.radians(degrees)), None, title)
