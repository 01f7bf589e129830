"""The user's own images, of which nothing is known."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from datamodules.image_files import SUFFIXES, found, raw_images, reading
from datamodules.image_files.finishing import Stretch, finished, stretched
from datamodules.image_files.levels import Levels, Pixels, dim
from datamodules.stills import StillModule, Stills


class ImageFolder(StillModule):
    """The images in a folder and those below it; no truth (see StillModule). All are held in memory.

    PNG and JPEG files hold an image each, TIFF files one a page; transparent parts become black. A `.npy` file holds
    images (N, H, W) or (N, H, W, C), or one, (H, W) or (H, W, C), with C = 1, 3 or 4: an array of three dimensions is
    one image where its last is 1, 3 or 4. A FITS file (the extra `fits`) holds one (H, W), or several (N, H, W).

    Images of 8 bits stay in 8 bits; 16 bits, whole and real numbers become float32 values, none of them rounded to 8
    bits: x = (raw - offset) / scale.

    Validation and test images are taken at random, always the same ones for the same files, whatever the seed.

    Args:
        folder: where the files are.
        resize: height and width in pixels to which images are scaled, whatever their proportions; null: they are
            left as they are, and must all have one size.
        color: images (3, H, W) if true, else grey (1, H, W).
        val_share, test_share: shares of the images that are held out; one image at least.
        scale: the files' numbers from black to white; null: 255 of 8 bits, 65535 of 16 bits, 1 of real values, which
            must then lie in [0, 1]. 4095 suits 12 bits that are stored in 16.
        offset: the files' number that is black: a dark level, the sky's mean.
        stretch: of figures only: `asinh` shows the faint beside the bright. Models see linear values.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule; held-out splits have no more
            scenes than images.
    Errors:
        ValueError for a folder without images or with fewer than three, for files that cannot be read, for several
        sizes without ``resize``, and for numbers of which none is known to be white.
    """

    def __init__(
        self,
        folder: str,
        resize: tuple[int, int] | None = None,
        color: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.1,
        scale: float | None = None,
        offset: float = 0.0,
        stretch: Stretch = "linear",
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        if resize is not None and min(resize) < 1:
            raise ValueError(f"resize must be a height and a width of at least 1 pixel, got {list(resize)}")
        if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
            raise ValueError(
                f"val_share and test_share must be positive and leave something to train on, got {val_share} and "
                f"{test_share}"
            )
        self.folder, self.resize, self.color = Path(folder).expanduser(), resize, color
        self.shares, self.stretch = (val_share, test_share), stretch
        # a wrong file shows here, before a run has begun
        self._pixels = read(self.folder, Levels(scale, offset), resize, color).pixels
        if not len(self._rows["train"]):
            raise ValueError(
                f"val_share={val_share} and test_share={test_share} take all of the {len(self._pixels)} images in "
                f"folder={str(self.folder)!r} and leave none to train on: lower them"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape[1:]
        return channels, height, width

    def scenes(self, split: str) -> Stills:
        return Stills(self._pixels[self._rows[split]], None, self.seed, split)

    def displayed(self, images: Tensor) -> Tensor:
        return stretched(images, self.stretch)

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        rows = np.random.Generator(np.random.Philox(key=0)).permutation(len(self._pixels))
        val, test = (max(1, round(share * len(rows))) for share in self.shares)
        parts = {"val": rows[:val], "test": rows[val : val + test], "train": rows[val + test :]}
        return parts | {"predict": parts["test"]}


class Found(NamedTuple):
    """The images under a folder, (N, C, H, W), in the order of their files' names, and each one's file and place there.

    ``pixels`` are uint8 where all files' are, else float32.
    """

    pixels: Pixels
    places: list[tuple[Path, int]]


def read(folder: Path, levels: Levels, resize: tuple[int, int] | None, color: bool) -> Found:
    """All images under a folder; they are said to be dim where they are."""
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is not a folder")
    paths = found(folder)
    if not paths:
        raise ValueError(f"folder={str(folder)!r} holds no images: expected {', '.join(SUFFIXES)} files")
    images: list[Pixels] = []
    places: list[tuple[Path, int]] = []
    peak = 0
    for path in paths:
        for index, raw in enumerate(raw_images(path)):
            peak = max(peak, levels.peak(raw))
            with reading(path):
                images.append(finished(levels(raw), resize, color))
            places.append((path, index))
            _check_size(images, places)
    if len(images) < 3:
        raise ValueError(
            f"folder={str(folder)!r} holds {len(images)} images, expected 3 at least: one to train on, one to "
            "validate and one to test"
        )
    if note := dim(peak, "data.scale"):
        rank_zero_warn(f"folder={str(folder)!r}: {note}")
    return Found(_stacked(images), places)


def _stacked(images: list[Pixels]) -> Pixels:
    """(N, C, H, W); 8 bits beside real values become such."""
    if all(image.dtype == np.uint8 for image in images):
        return np.stack(images)
    return np.stack([image / np.float32(255) if image.dtype == np.uint8 else image for image in images])


def _check_size(images: list[Pixels], places: list[tuple[Path, int]]) -> None:
    """ValueError where the last image has another size than the first."""
    if images[-1].shape != images[0].shape:
        raise ValueError(
            f"images differ in size: {places[0][0]} has {_size(images[0])}, {places[-1][0]} has {_size(images[-1])} "
            "(height x width): give `resize` to scale all of them"
        )


def _size(pixels: Pixels) -> str:
    return "x".join(str(side) for side in pixels.shape[1:])
