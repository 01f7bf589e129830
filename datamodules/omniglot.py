"""Omniglot: handwritten characters of many alphabets, one an image; their strokes are what AIR may count."""

import zipfile
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules import files
from datamodules.files import Source
from datamodules.image_files.levels import Pixels
from datamodules.stills import StillModule, Stills
from datamodules.truth.arrays import nothing

MIRRORS = ("https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",)
ARCHIVES = {
    "small1": ("images_background_small1.zip", "md5:e704a628b5459e08445c13499850abc4"),
    "small2": ("images_background_small2.zip", "md5:b75a71a51d3b13f821f212756fe481fd"),
    "full": ("images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
}
# Of the 20 people who drew every character, numbered from 1: those of validation, those of test.
VAL_DRAWERS, TEST_DRAWERS = (17, 18), (19, 20)


class Characters(NamedTuple):
    """Images (N, 1, size, size), white on black; the character's number in ``names`` and its drawer, (N,)."""

    pixels: Pixels
    labels: NDArray[np.int64]
    drawers: NDArray[np.int64]
    names: tuple[str, ...]


class Omniglot(StillModule):
    """Characters of Lake et al.'s background set, white on black, images (1, size, size).

    The number of strokes is not told, so there is no truth (see StillModule); ``what`` (B, 1) is the character's
    number in ``names()``, for whoever probes the codes. Each character was drawn by 20 people: training has the
    drawings of the first 16, validation those of two others, test those of the last two. So all splits know all
    characters and none knows another's hands.

    Args:
        root: folder that holds `omniglot/` with the archive; null: $AIR_DATA_ROOT if it has it, otherwise it is
            downloaded to the user's cache (which needs the package `pooch`).
        subset: small1 (2 720 images), small2 (3 120), or full (19 280): the archive
            `images_background_small1.zip`, `images_background_small2.zip` or `images_background.zip`.
        size: the image's side, pixels; the drawings' 105 pixels are averaged over areas.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule; held-out splits have no more
            scenes than images.
    Errors:
        ValueError for an archive that is absent, damaged or without characters.
    """

    def __init__(
        self,
        root: str | None = None,
        subset: Literal["small1", "small2", "full"] = "small1",
        size: int = 50,
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        if size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {size}: smaller characters cannot be read")
        if subset not in ARCHIVES:
            raise ValueError(f"subset must be one of {', '.join(ARCHIVES)}, got {subset!r}")
        self.root, self.size = root, size
        file, known = ARCHIVES[subset]
        self.source = Source("Omniglot", "omniglot", (file,), MIRRORS, (known,))
        if files.find(self.source, root) is not None:
            self._characters()  # a wrong file shows here, before a run has begun

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 1, self.size, self.size

    def names(self) -> tuple[str, ...]:
        """The characters, `Greek/character01` for one."""
        return self._characters().names

    def prepare_data(self) -> None:
        """Have the archive, in one process before the others look for it."""
        files.obtain(self.source, self.root)

    def scenes(self, split: str) -> Stills:
        characters = self._characters()
        chosen = rows_of(characters.drawers, split)
        truth = nothing(len(chosen), characters.labels)
        return Stills(characters.pixels, truth, self.seed, split, np.flatnonzero(chosen))

    def _characters(self) -> Characters:
        return read(files.obtain(self.source, self.root)[0], self.size)


def rows_of(drawers: NDArray[np.int64], split: str) -> NDArray[np.bool_]:
    """Which images (N,) belong to a split."""
    val, test = np.isin(drawers, VAL_DRAWERS), np.isin(drawers, TEST_DRAWERS)
    if split == "train":
        return ~(val | test)
    return val if split == "val" else test


@lru_cache(maxsize=2)
def read(path: Path, size: int) -> Characters:
    """The characters of an archive whose files are `.../ALPHABET/CHARACTER/NUMBER_DRAWER.png`, black on white."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(name for name in archive.namelist() if _is_drawing(name))
            pixels = [_image(archive, member, size) for member in members]
    except (OSError, SyntaxError, zipfile.BadZipFile) as error:  # Pillow raises the second for a damaged PNG
        raise ValueError(f"{path} could not be read ({error}): it is damaged or no zip file, get it again") from error
    drawers = np.array([int(PurePosixPath(member).stem.split("_")[1]) for member in members], np.int64)
    for split in ("train", "val", "test"):
        if not rows_of(drawers, split).any():
            raise ValueError(
                f"{path} holds {len(members)} drawings and none for the split {split!r}; expected files named "
                "ALPHABET/CHARACTER/NUMBER_DRAWER.png of drawers 01 to 20, as in Omniglot's images_background archives"
            )
    of_member = ["/".join(PurePosixPath(member).parts[-3:-1]) for member in members]
    names = tuple(sorted(set(of_member)))
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[name] for name in of_member], np.int64)
    return Characters(np.stack(pixels)[:, None], labels, drawers, names)


def _is_drawing(name: str) -> bool:
    path = PurePosixPath(name)
    drawer = path.stem.rpartition("_")[2]
    hidden = any(part.startswith((".", "__")) for part in path.parts)  # what macOS adds to archives
    return path.suffix == ".png" and len(path.parts) >= 3 and drawer.isdigit() and not hidden


def _image(archive: zipfile.ZipFile, member: str, size: int) -> Pixels:
    with Image.open(BytesIO(archive.read(member))) as image:
        small = image.convert("L").resize((size, size), Image.Resampling.BOX)
    return 255 - np.asarray(small)
