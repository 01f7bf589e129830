"""Pictures from files and arrays of many kinds, in 8 bits a value, grey or RGB, scaled to one size."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datamodules.stills import Pixels

PICTURES, ARRAYS = (".png", ".jpg", ".jpeg"), (".npy",)
SUFFIXES = PICTURES + ARRAYS
DEEP = 65535


def found(folder: Path) -> list[Path]:
    """The pictures' files in a folder and those below it, in the order of their names.

    Pipes and devices are left out. Links that lead nowhere are among them, to be named when they are read.

    Errors:
        ValueError, with the path, for a folder that cannot be read.
    """
    with reading(folder):
        paths = [Path(place, name) for place, _, names in os.walk(folder, onerror=_refuse) for name in names]
        return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and (p.is_file() or not p.exists()))


def images(path: Path) -> list[Image.Image]:
    """The pictures of one file, in PIL's modes L and RGB.

    Errors:
        ValueError, with the path, for a file that cannot be read.
    """
    with reading(path):
        if path.suffix.lower() in ARRAYS:
            return [Image.fromarray(array) for array in arrays(stored(path))]
        with Image.open(path) as image:
            return [plain(ImageOps.exif_transpose(image))]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What reading a damaged or unsuitable file raises becomes a ValueError that names it."""
    try:
        yield
    except Exception as error:  # of damaged files, Pillow's and NumPy's decoders raise many
        raise ValueError(f"could not read {path}: {error}") from error


def stored(path: Path) -> NDArray[np.generic]:
    """The array of a `.npy` file; ValueError for an archive of several, which NumPy reads under that name too."""
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of arrays (.npz): save one of them with numpy.save")
    return array


def arrays(array: NDArray[np.generic]) -> list[Pixels]:
    """The pictures (H, W) or (H, W, 3) of an array (N, H, W), (N, H, W, C), (H, W) or (H, W, C), C of 1, 3 or 4.

    An array of three dimensions is one picture where its last is 1, 3 or 4. Transparent parts become black.

    Errors:
        ValueError for other shapes, and as ``eight_bits``.
    """
    single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    stack = array[None] if single else array
    if stack.ndim not in (3, 4) or (stack.ndim == 4 and stack.shape[-1] not in (1, 3, 4)) or 0 in stack.shape:
        raise ValueError(f"expected an array (N, H, W), (N, H, W, C), (H, W) or (H, W, C), found {array.shape}")
    pixels = eight_bits(stack)
    if pixels.ndim == 4 and pixels.shape[-1] != 3:
        opaque = pixels[..., 3:] / 255 if pixels.shape[-1] == 4 else 1.0
        pixels = (pixels[..., :3] * opaque).round().astype(np.uint8)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return list(np.ascontiguousarray(pixels))


def eight_bits(values: NDArray[np.generic]) -> Pixels:
    """uint8, bool or real values in [0, 1] as 0 to 255; ValueError for others."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected uint8, bool or real values, found {values.dtype}: integers want .astype(np.uint8)")
    real = values.astype(np.float64)
    if not np.isfinite(real).all():
        raise ValueError("real values must be finite, found NaN or infinite ones: replace them first")
    if not ((real >= 0) & (real <= 1)).all():
        found = f"{real.min():.9g} to {real.max():.9g}"
        raise ValueError(f"real values must lie in [0, 1], found {found}: divide or clip them first")
    return (real * 255).round().astype(np.uint8)


def plain(image: Image.Image) -> Image.Image:
    """To mode L or RGB: 16 bits to 8, palettes resolved, transparent parts black."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) * (255 / DEEP)).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, (0, 0, 0, 255)), pixels).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def finished(image: Image.Image, resize: tuple[int, int] | None, color: bool) -> Pixels:
    """A picture as (C, H, W), RGB if ``color``, else grey; ``resize``: to this height and width, proportions or no."""
    image = image.convert("RGB" if color else "L")
    if resize is not None:
        image = image.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)  # averages areas where it shrinks
    pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def _refuse(error: OSError) -> NoReturn:
    raise error
