"""The images of many files, held in memory, or read when they are wanted."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from datamodules.image_files import raw_images, reading
from datamodules.image_files.finishing import shaped_image
from datamodules.image_files.levels import Levels, Peaks, Pixels
from datamodules.image_files.record import RawImage
from datamodules.image_files.view import View
from renderers.first_process import warn

ViewOf = Callable[[Path, tuple[int, int]], View | None]
GIB = 2**30
PATIENCE = 3.0
"""Seconds of reading after which a terminal is shown how far it is."""


class StoredImages(NamedTuple):
    """The images of files, in their order.

    Attributes:
        pixels: (N, C, H, W) in memory, or ReadImages. places: each one's file and number there.
        sizes: their width and height in their files.
    """

    pixels: "Pixels | ReadImages"
    places: list[tuple[Path, int]]
    sizes: list[tuple[int, int]]


class ReadImages:
    """N images of one size that are read when they are wanted.

    Args:
        shape: N, C, H, W. read: an image (C, H, W) by its number.
    """

    def __init__(self, shape: tuple[int, ...], read: Callable[[int], Pixels]) -> None:
        self.shape, self._read = shape, read

    def __getitem__(self, rows: Any) -> Pixels:
        return stacked([self._read(int(row)) for row in np.atleast_1d(rows)])


class Finish(NamedTuple):
    """What makes of an image as its file has it one as a model sees it."""

    levels: Levels
    resize: tuple[int, int] | None
    color: bool

    def __call__(self, raw: RawImage, view: View | None = None) -> Pixels:
        pixels = self.levels(raw)
        return shaped_image(pixels if view is None else view.of(pixels), self.resize, self.color)

    def shape(self, raw: RawImage) -> tuple[int, ...]:
        """C, H, W of what comes out."""
        return (3 if self.color else 1, *(self.resize or raw.values.shape[:2]))


def whole(path: Path, size: tuple[int, int]) -> View | None:
    """All of the image in a file."""
    return None


def read(
    paths: Sequence[Path],
    levels: Levels,
    resize: tuple[int, int] | None,
    color: bool,
    memory: int,
    name: str,
    view_of: ViewOf = whole,
) -> StoredImages:
    """All images of files, each of which is read once; they are said to be dim where they are.

    Args:
        memory: bytes that they may take; of more none is held. name: of all of them, for messages.
        view_of: what is taken of an image, by its file and its width and height; goes with ``resize``.
    Raises:
        ValueError: one cannot be read, or is of another size.
    """
    finish, walk = Finish(levels, resize, color), Walk()
    images: list[Pixels] | None = []
    for path in tqdm(paths, f"reading {name}", unit="file", delay=PATIENCE, disable=None, leave=False):
        for index, raw in enumerate(raw_images(path)):
            walk.add(path, index, raw, finish)
            view = _view(view_of, path, raw)
            with reading(path):
                pixels = finish(raw, view) if images is not None else finish.levels(raw)
            if images is not None:
                images.append(pixels)
                images = images if pixels.nbytes * len(images) <= memory else None
    if note := walk.peaks.note("data.scale"):
        warn(f"{name}: {note}")
    if images is not None:
        return StoredImages(stacked(images), walk.places, walk.sizes)
    shape = (len(walk.places), *walk.shape)
    return StoredImages(ReadImages(shape, _reader(walk.places, finish, view_of)), walk.places, walk.sizes)


class Walk:
    """What is noted of images while they are gone through."""

    def __init__(self) -> None:
        self.places: list[tuple[Path, int]] = []
        self.sizes: list[tuple[int, int]] = []
        self.shape: tuple[int, ...] = ()
        self.peaks = Peaks()

    def add(self, path: Path, index: int, raw: RawImage, finish: Finish) -> None:
        """Note one; ValueError where it has another size than the first."""
        shape = finish.shape(raw)
        self.shape = self.shape or shape
        if shape != self.shape:
            raise ValueError(
                f"images differ in size: {self.places[0][0]} has {_size(self.shape)}, {path} has {_size(shape)} "
                "(height x width): give `resize` to scale all of them"
            )
        self.peaks.add(path, finish.levels.peak(raw))
        self.places.append((path, index))
        self.sizes.append((raw.values.shape[1], raw.values.shape[0]))


def stacked(images: list[Pixels]) -> Pixels:
    """(N, C, H, W); 8 bits beside real values become such."""
    if all(image.dtype == np.uint8 for image in images):
        return np.stack(images)
    return np.stack([image / np.float32(255) if image.dtype == np.uint8 else image for image in images])


def _view(view_of: ViewOf, path: Path, raw: RawImage) -> View | None:
    height, width = raw.values.shape[:2]
    return view_of(path, (width, height))


def _reader(places: Sequence[tuple[Path, int]], finish: Finish, view_of: ViewOf) -> Callable[[int], Pixels]:
    """What reads an image by its number."""
    opened = lru_cache(maxsize=4)(raw_images)  # a file of several images is not opened for each of them

    def image(row: int) -> Pixels:
        path, index = places[row]
        raw = opened(path)[index]
        with reading(path):
            return finish(raw, _view(view_of, path, raw))

    return image


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape[1:])
