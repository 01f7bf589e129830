"""COCO's run lengths: how many pixels are 0, then 1, then 0 ..., column by column.

Decoded here, for `pycocotools` fills a mask with whatever memory holds where the runs end before it does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.entries import SHORT
from datamodules.truth.record import TruthError


def decoded(segmentation: dict[str, Any]) -> NDArray[np.bool_]:
    """(H, W) of `{"size": [H, W], "counts": ...}`, the counts a list, or text (COCO's compressed form).

    Errors:
        ValueError where they do not fill the size.
    """
    height, width = (int(side) for side in segmentation["size"])
    counts = segmentation["counts"]
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise TruthError(
            f"its run lengths cover {sum(runs)} pixels, and its size {height}x{width} (height x width) has "
            f"{height * width}"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def check(segmentation: dict[str, Any], title: str) -> None:
    """ValueError, with the entry's title, where the counts are neither text nor a list of whole numbers."""
    counts = segmentation["counts"]
    is_whole = isinstance(counts, list) and all(type(run) is int for run in counts)
    if not (isinstance(counts, str) or is_whole):
        raise TruthError(
            f"{title} has run lengths of the counts {SHORT.repr(counts)}: expected text, or a list of whole numbers"
        )


def _unpacked(text: str) -> list[int]:
    """The counts of a compressed text: five bits a character, from the lowest on, differences to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise TruthError(f"its run lengths hold the character {character!r}, which the compressed form has not")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (bits & 16) and 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise TruthError("its run lengths end in the middle of a number")
    return runs
