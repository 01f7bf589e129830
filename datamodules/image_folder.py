"""The user's own pictures, of which nothing is known."""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datamodules.stills import Pixels, StillModule, Stills

PICTURES, ARRAYS = (".png", ".jpg", ".jpeg"), (".npy",)
DEEP = 65535


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
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES + ARRAYS)
    if not paths:
        raise ValueError(f"folder={str(folder)!r} holds no pictures: expected {', '.join(PICTURES + ARRAYS)} files")
    pixels: list[Pixels] = []
    first = paths[0]
    for path in paths:
        for image in _images(path):
            pixels.append(_finished(image, resize, color))
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


def _images(path: Path) -> list[Image.Image]:
    """The pictures of one file, in PIL's modes L and RGB."""
    try:
        if path.suffix.lower() in ARRAYS:
            return [Image.fromarray(array) for array in _arrays(np.load(path, allow_pickle=False))]
        with Image.open(path) as image:
            return [_plain(ImageOps.exif_transpose(image))]
    except (OSError, ValueError, EOFError, SyntaxError) as error:  # Pillow raises the last for a damaged PNG
        raise ValueError(f"could not read {path}: {error}") from error


def _arrays(array: NDArray[np.generic]) -> list[Pixels]:
    """The pictures (H, W) or (H, W, 3) of an array."""
    single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    stack = array[None] if single else array
    if stack.ndim not in (3, 4) or (stack.ndim == 4 and stack.shape[-1] not in (1, 3, 4)) or 0 in stack.shape:
        raise ValueError(f"expected an array (N, H, W), (N, H, W, C), (H, W) or (H, W, C), found {array.shape}")
    pixels = _bytes(stack)
    if pixels.ndim == 4 and pixels.shape[-1] != 3:
        opaque = pixels[..., 3:] / 255 if pixels.shape[-1] == 4 else 1.0
        pixels = (pixels[..., :3] * opaque).round().astype(np.uint8)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return list(np.ascontiguousarray(pixels))


def _bytes(values: NDArray[np.generic]) -> Pixels:
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected uint8, bool or real values, found {values.dtype}")
    real = values.astype(np.float64)
    if not ((real >= 0) & (real <= 1)).all():
        raise ValueError(f"real values must lie in [0, 1], found {real.min():g} to {real.max():g}: divide them first")
    return (real * 255).round().astype(np.uint8)


def _plain(image: Image.Image) -> Image.Image:
    """To mode L or RGB: 16 bits to 8, palettes resolved, transparent parts black."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) * (255 / DEEP)).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, (0, 0, 0, 255)), pixels).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _finished(image: Image.Image, resize: tuple[int, int] | None, color: bool) -> Pixels:
    """(C, H, W)."""
    image = image.convert("RGB" if color else "L")
    if resize is not None:
        image = image.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)  # averages areas where it shrinks
    pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def _size(pixels: Pixels) -> str:
    return "x".join(str(side) for side in pixels.shape[1:])
