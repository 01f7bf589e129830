"""Images from files of many formats, in the files' own numbers. A format is a short module with `read(path)`.

A format is added by its suffix in ``READERS``.
"""

import os
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from datamodules.image_files import fits, npy, raster
from datamodules.image_files.record import RawImage, RawImages

READERS: dict[str, Callable[[Path], RawImages]] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"), raster.read),
    ".npy": npy.read,
    **dict.fromkeys((".fits", ".fit", ".fits.gz"), fits.read),
}
"""What reads the files of each suffix."""
SUFFIXES = tuple(READERS)
UNREAD = (".avif", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".jp2", ".nef", ".pgm", ".pnm", ".ppm", ".tga")
"""Suffixes of images that are not read: to be told of, and not passed over."""
MASK = ".mask.png"
"""How the name of an image's mask ends, after that of the image without its suffix."""
BESIDE_IMAGES, BESIDE_RGB = ("masks", "depth"), ("depth", "mask", "mask_visib")
"""Folders of what is known of images: beside `images/`, under the images' names, and beside BOP's `rgb/` or `gray/`."""
PREDICTIONS = ("predictions.jsonl", "predictions.json", "predictions.csv")
PICTURED = {"overlays": PREDICTIONS, "masks": PREDICTIONS, "figures": ("checkpoints",)}
"""Folders of pictures that `predict` and `fit` make, and what they make beside them."""


def is_image(path: Path) -> bool:
    """Whether a file of this name is read."""
    return path.name.lower().endswith(SUFFIXES)


class ImagePaths(NamedTuple):
    """The files in a folder, in the order of their names.

    Attributes:
        images: the images'. masks: NAME.mask.png beside an image NAME. aside: masks and depth of images, in folders of
            their own, and pictures that predictions and runs below the folder hold. unread: images of other formats.
    """

    images: list[Path]
    masks: list[Path]
    aside: list[Path]
    unread: list[Path]

    @property
    def said_of_unread(self) -> str:
        """What is to be said of images of other formats; nothing where there are none."""
        if not self.unread:
            return ""
        number = "1 image was" if len(self.unread) == 1 else f"{len(self.unread)} images were"
        return (
            f"{number} left out, {self.unread[0]} first, whose format is not read: save them as PNG, or as "
            f"{', '.join(suffix for suffix in SUFFIXES if suffix != '.png')}"
        )

    @property
    def said_of_none(self) -> str:
        """What is to be said of a folder without images that are read."""
        if self.unread:
            return f"holds no images that are read: {self.said_of_unread}"
        return f"holds no images: expected {', '.join(SUFFIXES)} files"


def image_paths(folder: Path) -> ImagePaths:
    """The images' files in a folder and those below it, and the files that tell something of them.

    Pipes and devices are left out, and what is hidden: names that begin with a dot. Links that lead nowhere are among
    them, to be named when they are read.

    Errors:
        ValueError, with the path, for a folder that cannot be read.
    """
    with reading(folder):
        files = sorted(_files(folder))
        found = [p for p in files if is_image(p) and (p.is_file() or not p.exists())]
    named, folders = {path.with_suffix("") for path in found}, {path.parent for path in found}
    masks = [p for p in found if p.name.endswith(MASK) and p.with_name(p.name.removesuffix(MASK)) in named]
    made = {place for place in folders if _is_made(place, folder)}
    aside = [p for p in found if p.parent in made or _is_aside(p, named, folders)]
    unread = [p for p in files if p.name.lower().endswith(UNREAD) and not _is_made(p.parent, folder)]
    return ImagePaths(sorted(set(found).difference(masks, aside)), masks, aside, unread)


def _files(folder: Path) -> Iterator[Path]:
    """All files that are not hidden."""
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _is_made(place: Path, root: Path) -> bool:
    """Whether it holds pictures of predictions or of a run, in or below the root folder."""
    below = place.relative_to(root).parts
    parents = [root.joinpath(*below[:depth]) for depth in range(len(below))]
    return any((above / other).exists() for above, name in zip(parents, below) for other in PICTURED.get(name, ()))


def _is_aside(path: Path, named: Set[Path], folders: Set[Path]) -> bool:
    """Whether it tells something of an image in another folder.

    Args:
        named: all files, without their suffixes. folders: that hold them.
    """
    kind, above = path.parent.name, path.parent.parent
    if kind in BESIDE_RGB and (above / "rgb" in folders or above / "gray" in folders):
        return True
    stem = path.name.removesuffix(MASK) if path.name.endswith(MASK) else path.with_suffix("").name
    return kind in BESIDE_IMAGES and above / "images" / stem in named


def raw_images(path: Path) -> RawImages:
    """The images of one file, at least one, each read when it is asked for, or before.

    Errors:
        ValueError, with the path, for a file that cannot be read; for an image that cannot, when it is asked for at the
        latest.
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
