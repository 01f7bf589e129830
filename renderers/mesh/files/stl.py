"""STL files, binary and ASCII, with the colours that VisCAM and Magics keep in binary ones."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.part import GREY, Array, Part, plain
from renderers.mesh.files.texts import BROKEN, short, table

HEADER = 84  # bytes, the count of triangles included
FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("color", "<u2")])
SHIFTS = {"rgb": (0, 5, 10), "bgr": (10, 5, 0)}  # of red, green and blue, five bits each, in a facet's two bytes
OWN = 0x8000  # the bit that says, in VisCAM's files, that a facet has a colour, and in Magics', that it has none
CUT = "the file was cut off, or its header is broken: export it again, or copy it anew"


def read(path: Path) -> list[Part]:
    """The triangles of an STL file.

    Errors:
        ValueError, naming the triangle, for a file that ends early or has something else than numbers.
    """
    data = path.read_bytes()
    return [plain(_ascii(data))] if _is_ascii(data) else [_binary(data)]


def _is_ascii(data: bytes) -> bool:
    """Binary files may begin with "solid", too; but then their length is what their count says, or they have zeros."""
    if len(data) >= HEADER and len(data) == HEADER + FACET.itemsize * _count(data):
        return False
    return re.match(rb"(\xef\xbb\xbf)?\s*solid\b", data, re.I) is not None and b"\0" not in data[:1000]


def _count(data: bytes) -> int:
    return int.from_bytes(data[HEADER - 4 : HEADER], "little")


def _binary(data: bytes) -> Part:
    if len(data) < HEADER:
        raise ValueError(
            f"it has {len(data)} bytes, too few for a binary STL file, and does not begin with 'solid' as an ASCII one "
            f"does: {CUT}"
        )
    count, there = _count(data), (len(data) - HEADER) // FACET.itemsize
    if there < count:
        raise ValueError(f"its header says {count} triangles, but it ends within triangle {there + 1}: {CUT}")
    facets = np.frombuffer(data, FACET, count, HEADER)
    colors = _colors(data[:80], facets["color"])
    return Part(facets["corners"].astype(np.float64), np.broadcast_to(colors[:, None], (count, 3, 3)))


def _colors(header: bytes, said: NDArray[np.uint16]) -> Array:
    """(F, 3): by the facets' two bytes; Magics' header has a colour for those without, and another order of bits."""
    default = header.partition(b"COLOR=")[2][:3]
    if len(default) < 3:
        return np.where(said[:, None] & OWN, _rgb(said, "bgr"), GREY)
    own = (said & OWN == 0) & said.any()
    return np.where(own[:, None], _rgb(said, "rgb"), np.frombuffer(default, np.uint8) / 255)


def _rgb(said: NDArray[np.uint16], order: str) -> Array:
    return np.stack([(said >> shift) & 31 for shift in SHIFTS[order]], 1) / 31


def _ascii(data: bytes) -> Array:
    """The triangles (F, 3, 3) of all solids; white space is any, and words are in either case."""
    text = data.decode("latin-1").lower()
    if re.search(r"end\s+loop", text):
        text = re.sub(r"\bend\s+loop\b", "endloop", text)
    *chunks, rest = text.split("endloop")
    loops = [chunk.rpartition("loop")[2] for chunk in chunks if "outer" in chunk]
    if re.search(r"\bouter\s+loop\b", rest) or not re.search(r"\bend\s?solid\b", rest[-1000:]):
        raise ValueError(f"it ends within or after triangle {len(loops)}, without its 'endsolid': {CUT}")
    for number, loop in enumerate(loops, 1):
        if loop.count("vertex") != 3:
            raise ValueError(f"triangle {number}, {short(loop)}: it has not three times 'vertex': {BROKEN}")
    rows = [loop.replace("vertex", " ") for loop in loops]
    return table(rows, 9, range(1, len(rows) + 1), "triangle").reshape(-1, 3, 3)
