"""Material files of OBJ: of each material its diffuse colour ``Kd`` or the image ``map_Kd`` in its place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from renderers.mesh.files.images import Pixels
from renderers.mesh.files.part import GREY, Array, Texture
from renderers.mesh.files.texts import BROKEN, decoded, find, short

# of an image: how many arguments an option has, at least and at most (MTL specification, "Options for texture maps")
OPTIONS = {"-o": (1, 3), "-s": (1, 3), "-t": (1, 3), "-mm": (2, 2)}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I)


class Material(NamedTuple):
    """What a material file says: ``color`` and ``image`` are what stands behind Kd and map_Kd there."""

    file: Path
    color: str | None = None
    image: str | None = None


class Look(NamedTuple):
    """What a material looks like: a texture, at ``scale * uv + offset`` with v upward; and where a face has no texture
    coordinates, or there is no texture, one colour (3,)."""

    color: Array
    texture: Texture | None = None
    scale: Array = np.ones(2)
    offset: Array = np.zeros(2)


PLAIN = Look(GREY)


def read_materials(path: Path) -> dict[str, Material]:
    """By name, all materials of a file; they are not looked at yet, for no face may have them."""
    materials, name = dict[str, Material](), None
    for line in decoded(path.read_bytes()).replace("\r", "\n").split("\n"):
        word, _, rest = line.strip().replace("\t", " ").partition(" ")
        rest, word = rest.strip(), word.lower()
        if word == "newmtl":
            name = bare(rest)
            materials[name] = Material(path)
        elif name is not None and word == "kd":
            materials[name] = materials[name]._replace(color=rest.partition("#")[0])
        elif name is not None and word == "map_kd":
            materials[name] = materials[name]._replace(image=rest)
    return materials


def bare(name: str) -> str:
    """A name without the quotation marks around it."""
    return name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] == '"' else name


def look(name: str, material: Material, pixels: Callable[[Path], Pixels]) -> Look:
    """What a material looks like. An image takes the place of the colour, as programs draw it; by the letter of the
    specification it would be multiplied, and many exporters write ``Kd 0 0 0`` beside one.

    Errors:
        ValueError, with the material's name and file, for what is no colour, and for an image that is not there.
    """
    where = f"material {name!r} of {material.file.name!r}"
    plain = PLAIN if material.color is None else Look(_color(where, material.color))
    return _textured(where, plain, material.image, material.file.parent, pixels) if material.image else plain


def _color(where: str, text: str) -> Array:
    """(3,) of ``Kd r g b`` or ``Kd r``, which is a grey."""
    words = text.split()
    if words[:1] in (["spectral"], ["xyz"]):
        raise ValueError(f"{where}: colours by 'Kd {words[0]}' are not supported: write 'Kd' and red, green and blue")
    if len(words) not in (1, 3) or not all(NUMBER.fullmatch(word) for word in words):
        raise ValueError(f"{where}: 'Kd' has {short(text)}, not red, green and blue from 0 to 1: {BROKEN}")
    return np.broadcast_to(np.array(words, np.float64).clip(0, 1), 3)


def _textured(where: str, plain: Look, text: str, folder: Path, pixels: Callable[[Path], Pixels]) -> Look:
    options, name = _options(text)
    candidates = [bare(name), bare(name.partition(" #")[0].strip())]
    path = next((found for found in (find(name, folder) for name in candidates if name) if found), None)
    if path is None:
        raise ValueError(
            f"{where}: it names the image {bare(name)!r}, which is not there: put it beside that file, or delete the "
            "line 'map_Kd' for the colour 'Kd'"
        )
    texture = Texture(pixels(path), ("clamp", "clamp") if options.get("-clamp") == ["on"] else ("repeat", "repeat"))
    if "-mm" in options:  # base and gain of the image's values
        base, gain = options["-mm"]
        full = np.iinfo(texture.pixels.dtype).max
        changed = (base * full + gain * texture.pixels).clip(0, full).astype(texture.pixels.dtype)
        texture = texture._replace(pixels=changed)
    scale, offset = ([*options.get(key, []), least, least][:2] for key, least in (("-s", 1), ("-o", 0)))
    return Look(plain.color, texture, np.array(scale), np.array(offset))


def _options(text: str) -> tuple[dict[str, list[Any]], str]:
    """The options before an image's name, and the name, which may have blanks. Unknown ones have one argument."""
    options = dict[str, list[Any]]()
    while match := re.match(r"(-[a-z]\w*)\s+", text, re.I):
        key, text = match[1].lower(), text[match.end() :]
        least, most = OPTIONS.get(key, (1, 1))
        options[key] = []
        while len(options[key]) < most and (match := re.match(r"(\S+)\s+", text)):
            if key in OPTIONS and not NUMBER.fullmatch(match[1]):
                break
            options[key].append(float(match[1]) if key in OPTIONS else match[1].lower())
            text = text[match.end() :]
    return options, text.strip()
