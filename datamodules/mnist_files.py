"""MNIST's files: where they come from, and their content as arrays."""

import gzip
import hashlib
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules import files
from datamodules.files import Source

SIDE = 28
IMAGES, LABELS = 2051, 2049  # the first four bytes of an IDX file of such arrays
PARTS = ("train", "t10k")
SOURCE = Source(
    "MNIST",
    "mnist",
    tuple(f"{part}-{kind}-ubyte.gz" for part in PARTS for kind in ("images-idx3", "labels-idx1")),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    (None, None, None, None),
    # torchvision's layout, in the root or in our folder; or the files in the root itself
    other_folders=("MNIST/raw", "mnist/MNIST/raw", ""),
    other_names=tuple(
        (f"{part}-{kind}-ubyte", f"{part}-{kind.replace('-', '.')}-ubyte")  # unpacked; the dot is Kaggle's
        for part in PARTS
        for kind in ("images-idx3", "labels-idx1")
    ),
)
# Of the decompressed content: the same numbers are about in several compressions.
CONTENT = (
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c629615203637",
)


class Digits(NamedTuple):
    """Images (N, 28, 28) uint8, white on black, and labels (N,) of 0-9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def load(root: str | None, part: str) -> Digits:
    """The digits of the file pair ``train`` or ``t10k``, downloaded where ``root`` is None and they are not at hand.

    Errors:
        ValueError naming the file that is absent, truncated or not MNIST-like; with what was expected and found.
    """
    paths, first = files.obtain(SOURCE, root), 2 * PARTS.index(part)
    downloaded = files.find(SOURCE, root) is None
    return _load(paths[first], paths[first + 1], CONTENT[first : first + 2] if downloaded else None)


@lru_cache(maxsize=4)
def _load(images: Path, labels: Path, content: tuple[str, ...] | None) -> Digits:
    """``content``: MD5 that the decompressed files must have; None for the user's own, read for what they are."""
    for path, expected in zip((images, labels), content or ()):
        _check_download(path, expected)
    digits = Digits(_array(images, IMAGES, (SIDE, SIDE)), _array(labels, LABELS, ()))
    if len(digits.images) != len(digits.labels):
        raise ValueError(
            f"{labels} holds {len(digits.labels)} labels, expected {len(digits.images)}, one for each image of "
            f"{images}: take both files from one source"
        )
    if len(digits.labels) and digits.labels.max() > 9:
        raise ValueError(f"{labels} holds label {digits.labels.max()}, expected 0-9: it is not MNIST's")
    blank = np.flatnonzero(~digits.images.any((1, 2)))
    if len(blank):
        raise ValueError(f"{images}: image {blank[0]} is black all over, expected a digit: leave it out of the file")
    return digits


def _check_download(path: Path, expected: str) -> None:
    try:
        found = hashlib.md5(_decompressed(path), usedforsecurity=False).hexdigest()
    except ValueError as error:
        raise files.discard(path, SOURCE, str(error)) from error
    if found != expected:
        raise files.discard(path, SOURCE, f"the content of {path} has MD5 {found}, expected {expected}")


def _array(path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(N, *shape) of an IDX file: big-endian magic number, N and the shape, then bytes."""
    data = _decompressed(path)
    header = struct.calcsize(f">{2 + len(shape)}I")
    if len(data) < header:
        raise ValueError(f"{path} is truncated: expected an IDX header of {header} bytes, found {len(data)} bytes")
    found, count, *sides = struct.unpack(f">{2 + len(shape)}I", data[:header])
    if found != magic:
        raise ValueError(f"{path} is not the IDX file it should be: expected the magic number {magic}, found {found}")
    if tuple(sides) != shape:
        raise ValueError(f"{path}: expected images of {shape}, found {tuple(sides)}")
    expected = header + count * int(np.prod(shape))
    if len(data) != expected:
        raise ValueError(
            f"{path} is truncated or damaged: expected {expected} bytes for {count} entries, found {len(data)} "
            "(decompressed)"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, *shape)


def _decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"\0\0") or (path.suffix != ".gz" and not data.startswith(b"\x1f\x8b")):
        return data  # some programs unpack what they download and leave its name as it was
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or not a gzip file ({error}): get it again") from error
