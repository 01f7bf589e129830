"""The images of one HDF5 or NPZ file, as the object-centric benchmarks come."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.array_files import ArrayFile, Rows
from datamodules.image_files.finishing import Stretch
from datamodules.image_files.levels import Levels, Pixels, white_of
from datamodules.image_files.record import RawImage, without_alpha
from datamodules.image_files.store import Finish, ReadImages
from datamodules.images_with_truth import ImagesWithTruth, check_arguments
from datamodules.truth.labelled import LabelledTruth, Names


class ImageArrays(ImagesWithTruth):
    """The images (N, H, W) or (N, H, W, C), C = 1, 3 or 4, of one HDF5 or NPZ file, and what it tells of them.

    Each is read from the file when it is wanted; none are held. What masks and visibility tell is for evaluation only
    (``datamodules.truth.labelled``).

    Args:
        file: `.h5`, `.hdf5`, `.hdf` (the extra `hdf5`) or `.npz`.
        image: name of the array of images; GROUP/NAME of one in a group.
        mask: name of the array of masks, (N, K, H, W), or (N, H, W) of labels; null: there is none.
        visibility: name of the array (N, K) that is not 0 for entities that are there; null: those are that show.
        background: how many of the first entities are no objects. (CLEVR, Multi-dSprites and Tetrominoes: 1.)
        identity: name of an array (N, K) with the entities' identities, `shape` of CLEVR's; null: none is compared.
        box: name of an array (N, K, 4) of boxes, x0, y0, x1, y1 in pixels, ends excluded; null: those of the masks.
        pose: names of arrays (N, K), each of a coordinate of the renderer, in its unit; none: positions are compared as
            the centres of boxes.
        truth: whether what the file tells is looked at.
        resize, color, val_share, test_share, scale, offset, stretch: as of ImageFolder.
        batch_size, train_scenes, val_scenes, test_scenes, seed: as of ImageFolder.
    Errors:
        ValueError for a file that cannot be read, arrays that are not there or of another shape, and as of ImageFolder.
    """

    def __init__(
        self,
        file: str,
        image: str = "image",
        mask: str | None = "mask",
        visibility: str | None = "visibility",
        background: int = 1,
        identity: str | None = None,
        box: str | None = None,
        pose: Sequence[str] = (),
        truth: bool = True,
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
        check_arguments(resize, val_share, test_share)
        if background < 0:
            raise ValueError(f"background must be a number of entities from 0 on, got {background}")
        arrays = ArrayFile(Path(file).expanduser())
        self.source = f"file={str(arrays.path)!r}"
        pixels = arrays[image]
        shape = _image_shape(f"the array {image!r} of {self.source}", pixels)
        names = Names(mask, visibility, identity, background, box, tuple(pose))
        truths = LabelledTruth(arrays, names, pixels.shape[0], shape) if truth else None
        finish = Finish(Levels(scale, offset), resize, color)

        def read(row: int) -> Pixels:
            with arrays.reading(f"image {row} of "):
                return finish(_raw(pixels, row))

        first = read(0)  # numbers of which none is known to be white show here
        self.hold(ReadImages((pixels.shape[0], *first.shape), read), truths, (val_share, test_share), stretch)


def _raw(pixels: Rows, row: int) -> RawImage:
    values = np.asarray(pixels[row])
    if values.ndim == 2:
        return RawImage(values)
    return without_alpha(values, white_of(values.dtype) or float(np.iinfo(values.dtype).max))


def _image_shape(title: str, pixels: Rows) -> tuple[int, int]:
    """Height and width; ValueError for what is no array of images."""
    shape = pixels.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3, 4)) or 0 in shape:
        raise ValueError(f"{title} must be (N, H, W) or (N, H, W, C), C = 1, 3 or 4, found {tuple(shape)}")
    if pixels.dtype.kind not in "biuf":
        raise ValueError(f"{title} must hold whole or real numbers or bool, found {pixels.dtype}")
    return shape[1], shape[2]
