"""An image as its file holds it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray


class RawImage(NamedTuple):
    """An image in its file's own numbers.

    Attributes:
        values: (H, W) or (H, W, 3), rows from the top, of any real dtype.
        alpha: (H, W) float32 in [0, 1], how much of a pixel is there; None where all of every pixel is.
    """

    values: NDArray[Any]
    alpha: NDArray[np.float32] | None = None


class RawImages(Sequence[RawImage]):
    """The images of a file, each read when it is asked for.

    Args:
        count: how many there are. read: one of them by its number.
    """

    def __init__(self, count: int, read: Callable[[int], RawImage]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> RawImage: ...
    @overload
    def __getitem__(self, number: slice) -> list[RawImage]: ...
    def __getitem__(self, number: int | slice) -> RawImage | list[RawImage]:
        numbers = range(self._count)[number]
        return self._read(numbers) if isinstance(numbers, int) else [self._read(n) for n in numbers]


def without_alpha(channels: NDArray[Any], white: float) -> RawImage:
    """The image of (H, W, C), C = 1, 3 or 4, whose fourth channel is alpha, ``white`` where a pixel is opaque."""
    if channels.shape[-1] == 1:
        return RawImage(channels[..., 0])
    if channels.shape[-1] == 3:
        return RawImage(channels)
    return RawImage(channels[..., :3], (channels[..., 3] / white).astype(np.float32))
