"""The elements of PLY files, whatever these are: header, and rows of numbers and lists, ASCII or binary."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from renderers.mesh.files.texts import BROKEN, decoded, short

Data = NDArray[np.uint8] | NDArray[np.float64]  # bytes of a binary file, the numbers of an ASCII one
Indices = NDArray[np.int64]

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8", "long": "i8", "ulong": "u8",
}  # fmt: skip
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CUT = "the file was cut off, or its header is broken: export it again, or copy it anew"

kernel: Any = njit(cache=True, nogil=True)


class Property(NamedTuple):
    """``type`` of its values; ``counter`` that of the number of them in front of a list's."""

    name: str
    type: str
    counter: str | None = None


class Element(NamedTuple):
    name: str
    rows: int
    properties: list[Property]


class Column(NamedTuple):
    """A property's values, one for each row; or as many as ``counts`` (R,) says, one list after another."""

    values: NDArray[Any]
    counts: Indices | None = None


Columns = dict[str, Column]


class Ply(NamedTuple):
    """A file's elements, and the images that its header names."""

    elements: dict[str, Columns]
    textures: list[str]


def read_ply(data: bytes) -> Ply:
    """The elements of a PLY file.

    Errors:
        ValueError, naming the header's line or element and row, for what is broken.
    """
    order, elements, textures, start = _header(data)
    if order:
        numbers: Data = np.frombuffer(data, np.uint8)
    else:
        numbers, start = _numbers(data[start:]), 0
    found = dict[str, Columns]()
    for element in elements:
        found[element.name], start = _element(element, numbers, start, order)
    if not order and start < len(numbers):
        raise ValueError(f"it has {len(numbers) - start} numbers more than its header declares: {BROKEN}")
    return Ply(found, textures)


def _header(data: bytes) -> tuple[str, list[Element], list[str], int]:
    """Byte order ("" for ASCII), elements, images, and where the header ends."""
    if not re.match(rb"ply\s", data):
        raise ValueError("it does not begin with 'ply': it is no PLY file, export it as one")
    end = re.search(rb"(?:^|[\r\n])[ \t]*end_header[ \t]*(?:\r\n|\r|\n|$)", data)
    if end is None:
        raise ValueError(f"its header has no 'end_header': {CUT}")
    order, elements, textures = None, list[Element](), list[str]()
    lines = re.split(r"\r\n|\r|\n", decoded(data[: end.start()]))
    for number, line in enumerate(lines[1:], 2):
        match line.split():
            case [] | ["obj_info", *_]:
                pass
            case ["comment", *words]:
                if len(words) > 1 and words[0].rstrip(":").lower() == "texturefile":
                    textures.append(line.split(None, 2)[2].strip().strip('"'))
            case ["format", str(kind), *_] if kind in ORDERS:
                order = ORDERS[kind]
            case ["element", str(name), str(count)] if re.fullmatch(r"\d{1,18}", count):
                elements.append(Element(name, int(count), []))
            case ["property", str(kind), str(name)] if kind in TYPES and elements:
                elements[-1].properties.append(Property(name, TYPES[kind]))
            case ["property", "list", str(count), str(kind), str(name)] if (
                {count, kind} <= TYPES.keys() and TYPES[count][0] != "f" and elements
            ):
                elements[-1].properties.append(Property(name, TYPES[kind], TYPES[count]))
            case _:
                raise ValueError(f"line {number} of its header, {short(line)}: it has no meaning in PLY: {BROKEN}")
    if order is None:
        raise ValueError(f"its header has no line 'format': {BROKEN}")
    return order, elements, textures, end.end()


def _numbers(data: bytes) -> Data:
    """What an ASCII file has behind its header."""
    text = data.decode("latin-1")
    try:
        return np.concatenate([np.empty(0), *(np.array(piece.split(), np.float64) for piece in _pieces(text))])
    except ValueError:
        number, line = next((i, line) for i, line in enumerate(text.split("\n"), 1) if not _is_numbers(line))
        raise ValueError(f"line {number} after its header, {short(line)}: not all of it is numbers: {BROKEN}") from None


def _pieces(text: str, size: int = 1 << 22) -> Iterator[str]:
    """A text in pieces that end with white space, lest all its words are in memory at once."""
    start = 0
    while start < len(text):
        space = re.compile(r"\s|$").search(text, start + size)
        end = space.end() if space else len(text)
        yield text[start:end]
        start = end


def _is_numbers(line: str) -> bool:
    try:
        np.array(line.split(), np.float64)
    except ValueError:
        return False
    return True


def _element(element: Element, data: Data, start: int, order: str) -> tuple[Columns, int]:
    """The columns of an element that begins at ``start``, and where it ends.

    In a binary file a property is as wide as its type has bytes, in an ASCII one it is one number.
    """
    widths = np.array([_width(p.type, order) for p in element.properties], np.int64)
    counters = np.array([_width(p.counter, order) if p.counter else 0 for p in element.properties], np.int64)
    least = int(np.where(counters > 0, counters, widths).sum()) * element.rows
    if least > len(data) - start:
        unit = "bytes" if order else "numbers"
        raise ValueError(
            f"element {element.name!r} has {element.rows} rows, at least {least} {unit}, but {len(data) - start} are "
            f"left: {CUT}"
        )
    if not counters.any():
        block = data[start : start + least].reshape(element.rows, int(widths.sum()))
        edges = zip(np.cumsum(widths) - widths, np.cumsum(widths), element.properties)
        parts = [Column(_typed(block[:, a:b], p.type, order)) for a, b, p in edges]
        return _named(element, parts), start + least
    begins = np.empty((element.rows, len(widths)), np.int64)
    counts = np.empty((element.rows, len(widths)), np.int64)
    row, end = _scan(data, start, widths, counters, order == ">", begins, counts)
    if row < element.rows:
        raise ValueError(f"element {element.name!r}, row {row + 1}: the file ends there, or its count is broken: {CUT}")
    parts = []
    for i, p in enumerate(element.properties):
        taken = np.empty(int(counts[:, i].sum() * widths[i]), data.dtype)
        _take(data, begins[:, i], counts[:, i] * widths[i], taken)
        parts.append(Column(_typed(taken, p.type, order), np.ascontiguousarray(counts[:, i]) if p.counter else None))
    return _named(element, parts), end


def _width(kind: str, order: str) -> int:
    return int(kind[1]) if order else 1


def _named(element: Element, columns: list[Column]) -> Columns:
    return {p.name: column for p, column in zip(element.properties, columns)}


def _typed(values: NDArray[Any], kind: str, order: str) -> NDArray[Any]:
    """(N,) values of a type. Whole numbers of an ASCII file become that type where they fit it."""
    if order:
        return np.ascontiguousarray(values).reshape(-1).view(order + kind).astype(kind)
    numbers = values.reshape(-1)
    if kind[0] == "f" or len(numbers) == 0:
        return numbers
    limits = np.iinfo(kind)
    fits = (numbers % 1 == 0).all() and limits.min <= numbers.min() and numbers.max() <= limits.max
    return numbers.astype(kind) if fits else numbers


@kernel
def _scan(data: Data, at: int, widths: Indices, counters: Indices, big: bool, begins: Indices, counts: Indices) -> Any:
    """Where each row's properties begin and how many values they have; how many rows there are, and where they end."""
    size = len(data)
    for row in range(len(begins)):
        for k in range(len(widths)):
            count = 1
            if counters[k] > 0:
                if at + counters[k] > size:
                    return row, at
                count = 0
                for i in range(counters[k]):
                    count = count * 256 + int(data[at + (i if big else counters[k] - 1 - i)])
                at += counters[k]
            if count < 0 or count > size or at + count * widths[k] > size:
                return row, at
            begins[row, k], counts[row, k] = at, count
            at += count * widths[k]
    return len(begins), at


@kernel
def _take(data: Data, begins: Indices, counts: Indices, taken: Data) -> None:
    """What is in the rows' ranges, one after another."""
    done = 0
    for row in range(len(begins)):
        for i in range(counts[row]):
            taken[done + i] = data[begins[row] + i]
        done += counts[row]
