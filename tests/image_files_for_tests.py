"""PNG and TIFF files of kinds that Pillow cannot write."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


def write_png(path: Path, values: NDArray[Any], bits: int, color: int = GREY, clear: tuple[int, ...] = ()) -> None:
    """Values (H, W) or (H, W, C) below 2 ** bits. clear: the transparent value, or the three of a colour (tRNS)."""
    height, width = values.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        digits = (values.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        rows = [np.packbits(row).tobytes() for row in digits.reshape(height, -1).astype(np.uint8)]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))]
    parts += [(b"tRNS", struct.pack(f">{len(clear)}H", *clear))] if clear else []
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def write_tiff(path: Path, values: NDArray[Any], order: str = "<", **tags: int) -> None:
    """Values (H, W) or (H, W, C), in the byte order ``order``. tags: others than the usual ones, as ``t284=2``."""
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    channels = values.shape[2] if values.ndim == 3 else 1
    bits = [values.dtype.itemsize * 8] * channels
    formats = {"u": 1, "i": 2, "f": 3}
    entries: dict[int, list[int]] = {
        256: [values.shape[1]], 257: [values.shape[0]], 258: bits, 259: [1], 262: [1 if channels == 1 else 2],
        273: [8], 277: [channels], 278: [values.shape[0]], 279: [len(body)], 284: [1],
        339: [formats[values.dtype.kind]] * channels,
    }  # fmt: skip
    entries |= {int(name[1:]): [value] for name, value in tags.items()}
    body += b"\0" * (len(body) % 2)
    start, extra = 8 + len(body), b""
    after = start + 2 + 12 * len(entries) + 4
    table = struct.pack(order + "H", len(entries))
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(packed) > 4:
            place = struct.pack(order + "I", after + len(extra))
            extra += packed
        else:
            place = packed.ljust(4, b"\0")
        table += struct.pack(order + "HHI", tag, 3, len(numbers)) + place
    magic = b"II*\0" if order == "<" else b"MM\0*"
    path.write_bytes(magic + struct.pack(order + "I", start) + body + table + b"\0\0\0\0" + extra)
