"""COCO's JSON (Lin et al. 2014): categories, annotations, masks as run lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from air_lightning.version import __version__

Row = dict[str, Any]
Box = tuple[float, float, float, float]


def info(description: str) -> Row:
    """The entry without which some versions of pycocotools have no loadRes."""
    return {"description": description, "version": __version__, "contributor": "AIR-Lightning"}


def categories(identities: Sequence[str] | None) -> list[Row]:
    """The identities from 1 on, or `object` where there are none."""
    return [{"id": number, "name": name} for number, name in enumerate(identities or ["object"], 1)]


def annotation(image: int, category: int, box: Box, segmentation: Row | None = None) -> Row:
    """An object, but for its own `id`.

    Args:
        image, category: their ids. box: x0, y0, x1, y1 in pixels, ends excluded.
        segmentation: ``rle`` of its mask; its area is then the mask's, else the box's.
    """
    x0, y0, x1, y1 = box
    area = (x1 - x0) * (y1 - y0) if segmentation is None else float(run_lengths.area(segmentation))
    marked = {"image_id": image, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": area}
    return marked | {"iscrowd": 0} | ({} if segmentation is None else {"segmentation": segmentation})


def rle(mask: NDArray[np.bool_]) -> Row:
    """A mask (H, W) as compressed run lengths, `size` (height, width) and `counts`."""
    coded = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in mask.shape], "counts": coded["counts"].decode("ascii")}
