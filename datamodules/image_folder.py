"""The user's own pictures, of which nothing is known."""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.picture_files import SUFFIXES, finished, found, images
from datamodules.stills import Pixels, StillModule, Stills


class ImageFolder(StillModule):
    """The pictures in a folder and those below it; no truth (see StillModule). All are held in memory, 8 bits a value.

    PNG and JPEG files hold a picture each; transparent parts become black. A `.npy` file holds pictures
    (N, H, W) or (N, H, W, C), or one, (H, W) or (H, W, C), with C = 1, 3 or 4: an array of three dimensions is one
    picture where its last is 1, 3 or 4. Arrays are uint8, bool, or real in [0, 1].

    Validation and test pictures are taken at random, always the same ones for the same files, whatever the seed.

    Args:
        folder: where the files are.
        resize: height and width in pixels to which pictures are scaled, whatever their proportions; null: they are
            left as they are, and must all have one size.
        color: pictures (3, H, W) if true, else grey (1, H, W).
        val_share, test_share: shares of the pictures that are held out; one picture at least.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule; held-out splits have no more
            scenes than pictures.
    Errors:
        ValueError for a folder without pictures or with fewer than three, for files that cannot be read, and for
        several sizes without ``resize``.
    """

    def __init__(
        self,
        folder: str,
        resize: tuple[int, int] | None = None,
        color: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.1,
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
        self.shares = val_share, test_share
        self._pixels = read(self.folder, resize, color)  # a wrong file shows here, before a run has begun
        if not len(self._rows["train"]):
            raise ValueError(
                f"val_share={val_share} and test_share={test_share} take all of the {len(self._pixels)} pictures in "
                f"folder={str(self.folder)!r} and leave none to train on: lower them"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape[1:]
        return channels, height, width

    def scenes(self, split: str) -> Stills:
        return Stills(self._pixels[self._rows[split]], None, self.seed, split)

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        rows = np.random.Generator(np.random.Philox(key=0)).permutation(len(self._pixels))
        val, test = (max(1, round(share * len(rows))) for share in self.shares)
        parts = {"val": rows[:val], "test": rows[val : val + test], "train": rows[val + test :]}
        return parts | {"predict": parts["test"]}


def read(folder: Path, resize: tuple[int, int] | None, color: bool) -> Pixels:
    """All pictures under a folder, (N, C, H, W), in the order of their files' names."""
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is not a folder")
    paths = found(folder)
    if not paths:
        raise ValueError(f"folder={str(folder)!r} holds no pictures: expected {', '.join(SUFFIXES)} files")
    pixels: list[Pixels] = []
    first = paths[0]
    for path in paths:
        for image in images(path):
            pixels.append(finished(image, resize, color))
            if pixels[-1].shape != pixels[0].shape:
                raise ValueError(
                    f"pictures differ in size: {first} has {_size(pixels[0])}, {path} has {_size(pixels[-1])} "
                    "(height x width): give `resize` to scale all of them"
                )
    if len(pixels) < 3:
        raise ValueError(
            f"folder={str(folder)!r} holds {len(pixels)} pictures, expected 3 at least: one to train on, one to "
            "validate and one to test"
        )
    return np.stack(pixels)


def _size(pixels: Pixels) -> str:
    return "x".join(str(side) for side in pixels.shape[1:])
