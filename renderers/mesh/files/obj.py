"""Wavefront OBJ files: their polygons, the colours of their vertices, and the materials that their faces use."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.images import read_image
from renderers.mesh.files.mtl import PLAIN, Look, Material, bare, look, read_materials
from renderers.mesh.files.part import GREY, Array, Part
from renderers.mesh.files.polygons import triangulated
from renderers.mesh.files.shades import shares, tell
from renderers.mesh.files.texts import BROKEN, decoded, find, say, short, table

Indices = NDArray[np.int64]

CURVED = ("surf", "bzp", "bsp", "cdp", "cdc", "res", "call")
WANTED = {"v", "vt", "mtllib", "usemtl", "f", "fo", *CURVED}  # "fo" is an old name of "f"
WIDTHS = {3: "x y z", 4: "x y z w", 6: "x y z r g b", 7: "x y z r g b a"}
DIGITS = 16  # of a whole number that is none any more
AT_ONCE = 200_000  # faces whose words are in memory together


class Rows(NamedTuple):
    """Statements of one kind: the numbers of their lines, from 1, and what stands behind the keyword."""

    lines: list[int]
    texts: list[str]


class Faces(NamedTuple):
    """``counts`` (P,) of the polygons' corners; these one after another (C,), their indices of vertices and of texture
    coordinates, from 0, the latter -1 where there is none; ``lines`` (P,) that the polygons are on."""

    counts: Indices
    vertex: Indices
    uv: Indices
    lines: Indices


def read(path: Path) -> list[Part]:
    """The triangles of an OBJ file, by material.

    An image tells the colour, or else the vertices do, or else the material's Kd.

    Errors:
        ValueError, naming the line, for what is broken or not there, and for free-form surfaces.
    """
    rows = _statements(decoded(path.read_bytes()))
    for word in CURVED:
        if word in rows:
            raise ValueError(
                f"line {rows[word].lines[0]}: {word!r}, free-form surfaces and other files' contents, cannot be drawn: "
                "export it as polygons"
            )
    places, colors = _vertices(rows["v"])
    coordinates = _coordinates(rows["vt"])
    faces = _faces(rows["f"], rows["v"], rows["vt"])
    triangles, polygon = triangulated(places[faces.vertex], faces.counts)
    parts = []
    for shown, polygons in _looks(path, rows, faces):
        corners = triangles[polygons[polygon]]
        vertex, uv = faces.vertex[corners], faces.uv[corners]
        tint = np.broadcast_to(shown.color, (*vertex.shape, 3)) if colors is None else colors[vertex]
        textured: NDArray[np.bool_] = np.min(uv, 1) >= 0
        if shown.texture is None:
            textured[:] = False
        if not textured.all():
            parts.append(Part(places[vertex], tint).some(~textured))
        if textured.any():
            if not textured.all():
                vertex, uv = vertex[textured], uv[textured]
            at = (coordinates * shown.scale + shown.offset) * [1, -1] + [0, 1]
            white = np.broadcast_to(np.ones(3), (*vertex.shape, 3))
            parts.append(Part(places[vertex], white, at[uv], shown.texture))
    return parts


def _statements(text: str) -> dict[str, Rows]:
    """By keyword, what is wanted of a file."""
    rows = defaultdict[str, Rows](lambda: Rows([], []))
    for number, line in enumerate(_continued(text.replace("\r\n", "\n").replace("\r", "\n")).split("\n"), 1):
        word, _, rest = line.partition(" ")
        if not word.isalpha():  # indented, or with tabs
            word, rest, *_ = [*line.split(None, 1), "", ""]
        if word in WANTED and rest and not rest.isspace():
            kind = rows["f" if word == "fo" else word]
            kind.lines.append(number)
            kind.texts.append(rest)
    return rows


def _continued(text: str) -> str:
    """Lines that end in a backslash, in one with the next; as many lines as before. Comments are not continued."""

    def joined(match: re.Match[str]) -> str:
        return re.sub(r"\\[ \t]*\n", " ", match[0]) + "\n" * match[0].count("\n")

    return re.sub(r"^(?![ \t]*#)(?:[^\n]*\\[ \t]*\n)+[^\n]*", joined, text, flags=re.M) if "\\" in text else text


def _vertices(rows: Rows) -> tuple[Array, Array | None]:
    """(V, 3) the vertices, and their colours (V, 3) where any has one that tells something."""
    texts = _uncommented(rows.texts)
    widths = np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))
    places, colors = np.empty((len(texts), 3)), np.empty((len(texts), 3))
    told = widths >= 6
    for width in np.unique(widths):
        which = np.flatnonzero(widths == width)
        if width not in WIDTHS:
            raise _broken(rows, which[0], "v", f"a vertex has {', or '.join(WIDTHS.values())}")
        values = table([texts[i] for i in which], int(width), [rows.lines[i] for i in which])
        places[which], colors[which] = values[:, :3], values[:, 3:6] if width >= 6 else 0
    if not told.any():
        return places, None
    colors[told] = shares(colors[told])
    colors[~told] = GREY
    return places, tell(colors)


def _coordinates(rows: Rows) -> Array:
    """(T, 2) the texture coordinates, v upward and 0 where it is not given."""
    texts = [" ".join([*text.split(), "0"][:2]) for text in _uncommented(rows.texts)]
    return table(texts, 2, rows.lines)


def _uncommented(texts: list[str]) -> list[str]:
    return [text.partition("#")[0] if "#" in text else text for text in texts]


def _broken(rows: Rows, which: int, word: str, rule: str) -> ValueError:
    return ValueError(f"line {rows.lines[which]}, {short(f'{word} {rows.texts[which]}')}: {rule}: {BROKEN}")


def _faces(rows: Rows, vertices: Rows, coordinates: Rows) -> Faces:
    texts, lines = _uncommented(rows.texts), np.array(rows.lines, np.int64)
    chunks = [_words(rows, texts[i : i + AT_ONCE], i) for i in range(0, len(texts), AT_ONCE)]
    counts, indices = (np.concatenate(column) for column in zip((np.empty(0, int), np.empty((0, 3), int)), *chunks))
    if len(counts) and counts.min() < 3:
        raise _broken(rows, int(counts.argmin()), "f", "a face has at least three corners")
    of = np.repeat(np.arange(len(counts)), counts)
    found = []
    for column, known, name in ((0, vertices, "vertices"), (1, coordinates, "texture coordinates")):
        given, before = indices[:, column], np.searchsorted(known.lines, lines)[of]
        index = np.where(given < 0, before + given, given - 1)
        wrong = ((index < 0) | (index >= len(known.lines))) & ((given != 0) | (column == 0))
        if column == 1 and (not known.lines or not wrong.any()):
            wrong, index = np.zeros_like(wrong), np.where(wrong | (given == 0), -1, index)
        if wrong.any():
            corner = int(wrong.argmax())
            word = texts[of[corner]].split()[corner - int(counts[: of[corner]].sum())]
            rule = f"{word!r} is out of range, there are {len(known.lines)} {name}, counted from 1"
            raise _broken(rows, int(of[corner]), "f", rule)
        found.append(index)
    return Faces(counts, found[0], found[1], lines)


def _words(rows: Rows, texts: list[str], start: int) -> tuple[Indices, Indices]:
    """(P,) how many words texts have, and (C, 3) the words' numbers: v, v/vt, v//vn or v/vt/vn, 0 for none.

    The texts are one array of bytes, for there may be millions: a number's place in its word is how many slashes come
    before it there.
    """
    text = "\n".join(texts) + "\n"
    data = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    digit, slash, minus = (data - 48) < 10, data == 47, data == 45
    blank = (data == 32) | ((data >= 9) & (data <= 13))
    after = np.append(digit[1:], False)
    ends = np.flatnonzero(data == 10)
    first, word = digit & ~_before(digit, False), ~blank & _before(blank, True)
    allowed = digit | slash | blank | (minus & after & ~_before(digit | minus, False))
    words, slashes, number = np.cumsum(word, dtype=np.int32), np.cumsum(slash, dtype=np.int32), np.flatnonzero(first)
    long = number[np.flatnonzero(digit & ~after) - number >= DIGITS]
    of, begins = words[number] - 1, np.flatnonzero(word)
    place = slashes[number] - (slashes - slash)[begins][of]
    numbers = np.zeros((len(begins), 3), np.int64)
    if allowed.all() and (place < 3).all() and not len(long):
        numbers[of, place] = np.fromstring(text.replace("/", " "), np.int64, sep=" ")
    headless = begins[np.bincount(of[place == 0], minlength=len(begins)) == 0]
    wrong = np.concatenate([np.flatnonzero(~allowed), number[place > 2], long, headless])
    if len(wrong):
        which = start + int(np.searchsorted(ends, wrong.min()))
        raise _broken(rows, which, "f", "a corner is v, v/vt, v//vn or v/vt/vn, whole numbers")
    return np.diff(words[ends], prepend=0), numbers


def _before(values: NDArray[np.bool_], first: bool) -> NDArray[np.bool_]:
    """The value before each."""
    return np.concatenate([[first], values[:-1]])


def _looks(path: Path, rows: dict[str, Rows], faces: Faces) -> Iterator[tuple[Look, NDArray[np.bool_]]]:
    """What each material that is used looks like, and which polygons (P,) have it."""
    names = [_name(text) for text in rows["usemtl"].texts]
    latest = np.searchsorted(rows["usemtl"].lines, faces.lines) - 1
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    material = np.array([number[name] for name in names] + [-1], np.int64)[latest]
    used = [name for name, i in number.items() if (material == i).any()]
    known = _library(path, rows["mtllib"], used) if used else {}
    images = cache(lambda file: read_image(file.read_bytes(), file.name))
    for name in used:
        yield look(name, known[name], images) if name in known else PLAIN, material == number[name]
    if (material < 0).any():
        yield PLAIN, material < 0


def _name(text: str) -> str:
    return bare(text.strip())


def _library(path: Path, rows: Rows, used: list[str]) -> dict[str, Material]:
    """The materials of all files that are named; said where that lacks some."""
    known, gone = dict[str, Material](), list[str]()
    for text in rows.texts:
        files, missing = _files(text, path.parent)
        gone += missing
        for file in files:
            known = read_materials(file) | known
    for name in used:  # with a comment behind it
        short_name = bare(name.partition(" #")[0].strip())
        if name not in known and short_name in known:
            known[name] = known[short_name]
    lacking = [name for name in used if name not in known]
    if lacking:
        where = f"its material files {', '.join(gone)} are not there" if gone else "no material file has them"
        say(
            path,
            f"faces have the materials {', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}, but {where}: they "
            "are drawn grey, or as their vertices are; put the material file beside it",
        )
    return known


def _files(text: str, folder: Path) -> tuple[list[Path], list[str]]:
    """The files that ``mtllib`` names, whose names may have blanks, and the names of those that are not there."""
    words = re.findall(r'"[^"]*"|\S+', text)
    files, missing = list[Path](), list[str]()
    while words and not words[0].startswith("#"):
        for count in range(len(words), 0, -1):
            if file := find(bare(" ".join(words[:count])), folder):
                files.append(file)
                break
        else:
            missing.append(words[0])
            count = 1
        words = words[count:]
    return files, missing
