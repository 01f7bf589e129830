"""Images from files of many formats, in the files' own numbers. A format is a short module with `read(path)`.

A format is added by its suffix in ``READERS``.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from datamodules.image_files import fits, npy, raster
from datamodules.image_files.record import RawImage, RawImages

READERS: dict[str, Callable[[Path], RawImages]] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"), raster.read),
    ".npy": npy.read,
    **dict.fromkeys((".fits", ".fit", ".fits.gz"), fits.read),
}
"""What reads the files of each suffix."""
SUFFIXES = tuple(READERS)
MASK = ".mask.png"
"""How the name of an image's mask ends, after that of the image without its suffix."""


def is_image(path: Path) -> bool:
    """Whether a file of this name is read."""
    return path.name.lower().endswith(SUFFIXES)


def image_paths(folder: Path) -> list[Path]:
    """The images' files in a folder and those below it, in the order of their names.

    Pipes and devices are left out, and NAME.mask.png beside an image NAME, which is that image's mask. Links that lead
    nowhere are among them, to be named when they are read.

    Errors:
        ValueError, with the path, for a folder that cannot be read.
    """
    with reading(folder):
        paths = [Path(place, name) for place, _, names in os.walk(folder, onerror=_refuse) for name in names]
        images = sorted(p for p in paths if is_image(p) and (p.is_file() or not p.exists()))
    named = {path.with_suffix("") for path in images}
    return [p for p in images if not (p.name.endswith(MASK) and p.with_name(p.name.removesuffix(MASK)) in named)]


def raw_images(path: Path) -> RawImages:
    """The images of one file, at least one, each read when it is asked for.

    Errors:
        ValueError, with the path, for a file that cannot be read; for an image that cannot, when it is asked for.
    """
    with reading(path):
        images = next(read for suffix, read in READERS.items() if path.name.lower().endswith(suffix))(path)

    def image(number: int) -> RawImage:
        with reading(path):
            return images[number]

    return RawImages(len(images), image)


class Unreadable(ValueError):
    """A file that is damaged or unsuitable; it is named."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What reading a damaged or unsuitable file raises becomes a ValueError that names it, once."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:  # of damaged files, the libraries' decoders raise many
        raise Unreadable(f"could not read {path}: {error}") from error


def _refuse(error: OSError) -> NoReturn:
    raise error
