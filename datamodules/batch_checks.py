"""Whether a batch is what it should be: a wrong one ends with a word, and not with a traceback or a wrong figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datamodules.batch import Batch, DataError
from datamodules.truth.arrays import POSITION
from renderers.base import Renderer
from renderers.spaces import Categorical

if TYPE_CHECKING:
    from datamodules.base import SceneDataModule

FAR = 10.0
"""No noise and no highlight of images in [0, 1] is further outside."""


def check_images(renderer: Renderer, data: SceneDataModule, images: Tensor, kind: torch.dtype) -> None:
    """DataError unless images are finite numbers of this type, of the renderer's size, and in or near [0, 1]."""
    name, (channels, height, width) = type(data).__name__, renderer.image_shape
    _check_tensor(name, "images", images)
    shape = tuple(images.shape)
    if images.dtype != kind:
        remedy = f"images.{'double' if kind == torch.float64 else 'float'}()"
        remedy += " / 255" if images.dtype == torch.uint8 else ""
        raise DataError(f"images of {name} must be {kind}, got {images.dtype}: give {remedy}")
    if len(shape) != 4 or shape[1:] != (channels, height, width):
        last = shape[1:] == (height, width, channels)
        remedy = "channels come first, give images.permute(0, 3, 1, 2)" if last else "give both the same size"
        raise DataError(
            f"images of {name} must have shape (batch, {channels}, {height}, {width}), channels, height and width as "
            f"{type(renderer).__name__} draws them, got {shape}: {remedy}"
        )
    wrong = ~images.isfinite().flatten(1).all(1)
    if wrong.any():
        raise DataError(
            f"images of {name} must be finite, got NaN or infinite numbers in {int(wrong.sum())} of {len(images)}, "
            f"first in image {int(wrong.nonzero()[0])} of the batch: look for a division by 0 or for damaged files"
        )
    low, high = images.aminmax()
    if not data.any_values and not (low >= -FAR and high <= 1 + FAR):
        raise DataError(
            f"images of {name} must lie in [0, 1], noise aside, got {float(low):.4g} to {float(high):.4g}: divide them "
            f"by what is white, 255 of 8 bits; any_values = True in {name} says that another unit is meant"
        )


def check_truth(renderer: Renderer, data: SceneDataModule, batch: Batch, measured: bool) -> None:
    """DataError unless all is tensors, and the truth, where there is one, such as ``Batch`` and the data module say.

    Args:
        batch: its identities by the data's numbers, before ``SceneDataModule.renumbered``.
        measured: whether the truth will be compared with what is inferred, and not only carried along.
    """
    needed = ("count", "what", "where") if data.has_truth else ()
    for part, value in batch._asdict().items():
        if value is not None or part in needed:
            _check_tensor(type(data).__name__, part, value)
    if data.has_truth:
        _check_sizes(renderer, data, batch, measured)
        _check_counts(data, batch, 0 if measured else -1)
        _check_identities(renderer, data, batch)
        if measured:
            _check_positions(renderer, data, batch)


def _check_tensor(name: str, part: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise DataError(
            f"{part} of {name} must be a torch.Tensor, got {type(value).__name__}: give torch.as_tensor(...)"
        )


def _check_sizes(renderer: Renderer, data: SceneDataModule, batch: Batch, measured: bool) -> None:
    """Truth of the batch's images, with places for as many objects as the data may hold where it is measured."""
    name, images, most = type(data).__name__, len(batch.images), max(1, data.largest_count)
    places = most if measured or batch.what.dim() < 2 else batch.what.shape[1]
    named, scene = data.coordinates(renderer), data.scene_coordinates(renderer)
    columns = (len(named),) if named else tuple(batch.where.shape[2:])
    codes = () if isinstance(renderer.what, Categorical) else tuple(batch.what.shape[2:])
    objects = "images, objects up to largest_count"
    expected = {
        "count": ((images,), "images"),
        "what": ((images, places, *codes), objects),
        "where": ((images, places, *columns), f"{objects}, coordinates {', '.join(named) or 'of any number'}"),
        "boxes": ((images, places, 4), f"{objects}, x0 y0 x1 y1"),
        "masks": ((images, places, *renderer.image_shape[1:]), f"{objects}, height, width"),
        "scene": ((images, len(scene)), f"images, coordinates {', '.join(scene) or 'none'}"),
    }
    for part, (shape, axes) in expected.items():
        value = getattr(batch, part)
        if value is not None and tuple(value.shape) != shape:
            raise DataError(
                f"{part} of {name} must have shape {shape} ({axes}), got {tuple(value.shape)}: give the truth of the "
                f"same images; {name}.largest_count says the places, coordinates() the columns of where"
            )


def _check_counts(data: SceneDataModule, batch: Batch, least: int) -> None:
    """Whole numbers, none more than the data may hold and than there are places for."""
    name, places = type(data).__name__, batch.what.shape[1]
    _check_whole(name, "count", batch.count)
    most, of = (places, "the places of what") if places < data.largest_count else (data.largest_count, "largest_count")
    wrong = (batch.count < least) | (batch.count > most)
    if wrong.any():
        image = int(wrong.nonzero()[0])
        raise DataError(
            f"count of {name} must be from 0 to {most}, {of}, got {int(batch.count[image])} of image {image} of the "
            "batch: raise largest_count, with places for as many objects in what and where, or correct the count"
        )


def _check_identities(renderer: Renderer, data: SceneDataModule, batch: Batch) -> None:
    """Where they are known: -1, not told, or a number of the data's names or of the renderer's identities."""
    if not (data.has_identities and isinstance(renderer.what, Categorical)):
        return
    name, names = type(data).__name__, data.identity_names
    whose = f"{type(renderer).__name__}'s identities" if names is None else "its identity_names"
    names = renderer.what.names if names is None else tuple(names)
    _check_whole(name, "what", batch.what)
    wrong = _there(batch) & ((batch.what < -1) | (batch.what >= len(names)))
    if wrong.any():
        image, place = wrong.nonzero()[0].tolist()
        raise DataError(
            f"what of {name} must be from 0 to {len(names) - 1}, the numbers of {whose} ({', '.join(names)}), or -1 "
            f"where it is not told, got {int(batch.what[image, place])} of image {image} of the batch: number them so"
        )


def _check_positions(renderer: Renderer, data: SceneDataModule, batch: Batch) -> None:
    """Finite, of all objects of which something shows."""
    places = [j for j, name in enumerate(data.coordinates(renderer)) if name in POSITION]
    seen = _there(batch) if batch.boxes is None else _there(batch) & batch.boxes.any(-1)
    wrong = seen & ~batch.where[..., places].isfinite().all(-1)
    if wrong.any():
        image, place = wrong.nonzero()[0].tolist()
        raise DataError(
            f"where of {type(data).__name__} must be finite, got {batch.where[image, place].tolist()} of object "
            f"{place} of image {image} of the batch: correct it, or lower the image's count"
        )


def _there(batch: Batch) -> Tensor:
    """(B, T), the places of objects that are there."""
    return torch.arange(batch.what.shape[1], device=batch.what.device) < batch.count.unsqueeze(1)


def _check_whole(name: str, part: str, value: Tensor) -> None:
    if value.is_floating_point() or value.dtype == torch.bool:
        raise DataError(f"{part} of {name} must be whole numbers (torch.int64), got {value.dtype}: give {part}.long()")
