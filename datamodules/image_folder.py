"""The user's own images, of which nothing is known, or what a file of truth tells of them for evaluation."""

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
from datamodules.truth import read_truth
from datamodules.truth.arrays import POSITION, FolderTruth, TruthArrays, nothing
from renderers.base import Renderer


class ImageFolder(StillModule):
    """The images in a folder and those below it, all held in memory; no truth (see StillModule) unless a file tells it.

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
        val_share, test_share: shares of the images that are held out; one image at least. A test_share of 1 makes all
            images test images, whatever val_share: a folder to measure on.
        scale: the files' numbers from black to white; null: 255 of 8 bits, 65535 of 16 bits, 1 of real values, which
            must then lie in [0, 1]. 4095 suits 12 bits that are stored in 16.
        offset: the files' number that is black: a dark level, the sky's mean.
        truth: a file that tells what the images hold, for evaluation only: JSON of scenes
            (``datamodules.truth.scenes_json``) or COCO's. It must tell of every image. Where it tells poses they are in
            the renderer's coordinates; where it tells boxes alone, positions are compared as their centres, in half
            images. Null: nothing is known.
        stretch: of figures only: `asinh` shows the faint beside the bright. Models see linear values.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule; held-out splits have no more
            scenes than images.
    Errors:
        ValueError for a folder without images or with fewer than three, for files that cannot be read, for several
        sizes without ``resize``, for numbers of which none is known to be white, and for a truth that does not go with
        the images, or with the model's renderer.
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
        truth: str | None = None,
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        if resize is not None and min(resize) < 1:
            raise ValueError(f"resize must be a height and a width of at least 1 pixel, got {list(resize)}")
        if not (val_share > 0 and test_share > 0 and (val_share + test_share < 1 or test_share == 1)):
            raise ValueError(
                f"val_share and test_share must be positive and leave something to train on, got {val_share} and "
                f"{test_share}: a test_share of 1 alone makes all of them test images"
            )
        self.folder, self.resize, self.color = Path(folder).expanduser(), resize, color
        self.shares, self.stretch = (val_share, test_share), stretch
        # a wrong file shows here, before a run has begun
        found = read(self.folder, Levels(scale, offset), resize, color)
        self._pixels = found.pixels
        self._truth: FolderTruth | None = None
        if truth is not None:
            told = read_truth(Path(truth).expanduser())
            self._truth = FolderTruth(told, self.folder, found.places, np.array(found.sizes))
        if test_share == 1:
            return
        if len(self._pixels) < 3:
            raise ValueError(
                f"folder={str(self.folder)!r} holds {len(self._pixels)} images, expected 3 at least: one to train on, "
                "one to validate and one to test; test_share=1 makes all of them test images"
            )
        if not len(self._rows["train"]):
            raise ValueError(
                f"val_share={val_share} and test_share={test_share} take all of the {len(self._pixels)} images in "
                f"folder={str(self.folder)!r} and leave none to train on: lower them"
            )

    @property
    def has_truth(self) -> bool:
        return self._truth is not None

    @property
    def has_identities(self) -> bool:
        return self._truth is not None and self._truth.has_identities

    @property
    def largest_count(self) -> int:
        return 0 if self._truth is None else self._truth.most

    @property
    def extent(self) -> float:
        renderer = self._renderer()
        if renderer is None or not self.coordinates(renderer):
            return super().extent
        return max(c.high - c.low for c in renderer.where.coordinates if c.name in POSITION)

    @property
    def extras(self) -> tuple[str, ...]:
        return ("boxes",) if self._truth is not None and self._truth.has_boxes else ()

    def coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        return super().coordinates(renderer) if self._truth is None else self._truth.known(renderer)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape[1:]
        return channels, height, width

    def check_shares(self, split: str, processes: int) -> None:
        if not len(self._rows[split]):
            raise ValueError(
                f"test_share=1 makes all images of folder={str(self.folder)!r} test images and leaves none for "
                f"{'training and validation' if split == 'val' else split}: `test` measures on them"
            )
        super().check_shares(split, processes)

    def scene_count(self, split: str) -> int:
        return super().scene_count(split) if len(self._rows[split]) else 0

    def scenes(self, split: str) -> Stills:
        rows = self._rows[split]
        return Stills(self._pixels[rows], self._truth_arrays().of(rows), self.seed, split)

    def displayed(self, images: Tensor) -> Tensor:
        return stretched(images, self.stretch)

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        rows = np.random.Generator(np.random.Philox(key=0)).permutation(len(self._pixels))
        if self.shares[1] == 1:
            return {"val": rows[:0], "train": rows[:0], "test": rows, "predict": rows}
        val, test = (max(1, round(share * len(rows))) for share in self.shares)
        parts = {"val": rows[:val], "test": rows[val : val + test], "train": rows[val + test :]}
        return parts | {"predict": parts["test"]}

    def _truth_arrays(self) -> TruthArrays:
        if self._truth is None:
            return nothing(len(self._pixels))
        return self._truth.arrays(self._renderer(), self.image_shape[1:])

    def _renderer(self) -> Renderer | None:
        """The model's, where there is one, whose identities and coordinates batches are in."""
        renderer: Renderer | None = getattr(getattr(self.trainer, "lightning_module", None), "renderer", None)
        return renderer


class Found(NamedTuple):
    """The images under a folder, (N, C, H, W), in the order of their files' names.

    Attributes:
        pixels: uint8 where all files' are, else float32. places: each one's file and number there.
        sizes: their width and height in their files.
    """

    pixels: Pixels
    places: list[tuple[Path, int]]
    sizes: list[tuple[int, int]]


def read(folder: Path, levels: Levels, resize: tuple[int, int] | None, color: bool) -> Found:
    """All images under a folder; they are said to be dim where they are."""
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is not a folder")
    paths = found(folder)
    if not paths:
        raise ValueError(f"folder={str(folder)!r} holds no images: expected {', '.join(SUFFIXES)} files")
    images: list[Pixels] = []
    places: list[tuple[Path, int]] = []
    sizes: list[tuple[int, int]] = []
    peak = 0
    for path in paths:
        for index, raw in enumerate(raw_images(path)):
            peak = max(peak, levels.peak(raw))
            with reading(path):
                images.append(finished(levels(raw), resize, color))
            places.append((path, index))
            sizes.append((raw.values.shape[1], raw.values.shape[0]))
            _check_size(images, places)
    if note := dim(peak, "data.scale"):
        rank_zero_warn(f"folder={str(folder)!r}: {note}")
    return Found(_stacked(images), places, sizes)


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
