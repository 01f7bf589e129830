"""What images that are there already share, of which little or nothing is known: a random order without end."""

from abc import abstractmethod
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import Batch, DataError, SceneDataModule, Scenes, stream
from datamodules.image_files.levels import Pixels
from datamodules.truth.arrays import TruthArrays


class Images(Protocol):
    """N images (C, H, W) of one size, held in memory (an array) or read when they are wanted.

    ``images[rows]`` is (B, C, H, W), uint8, of which 255 is 1, or float32 as they are.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """N, C, H, W."""

    def __getitem__(self, rows: Any, /) -> Pixels: ...


class StillModule(SceneDataModule):
    """Images of unknown contents: ``has_truth`` is False, every ``count`` is -1, ``where`` means nothing.

    Scene i of a split is its image i modulo their number, each pass over them in an order of its own. A held-out
    split has no more scenes than images, so none counts twice.
    """

    @property
    def has_truth(self) -> bool:
        return False

    @property
    def largest_count(self) -> int:
        """0: nobody knows, and any number of slots will do."""
        return 0

    @property
    def extent(self) -> float:
        return 2.0

    def scene_count(self, split: str) -> int:
        size = super().scene_count(split)
        return size if split == "train" else min(size, len(self.scenes(split)))

    @abstractmethod
    def scenes(self, split: str) -> "Stills":
        """The images of one split."""


class Stills(Scenes):
    """Images in a random order, or in their own.

    Args:
        images: of which these are some. truth: what is known of all of them, given in batches; masks not while
            training, which never looks at them.
        seed, split: of the order.
        rows: (N,) which of the images, N at least 1. shuffled: whether each pass over them has an order of its own.
    """

    def __init__(
        self,
        images: Images,
        truth: TruthArrays,
        seed: int,
        split: str,
        rows: NDArray[np.int64],
        shuffled: bool = True,
    ) -> None:
        assert len(rows), split
        self.images, self.truth, self.seed, self.split, self.rows = images, truth, seed, split, rows
        self.shuffled = shuffled

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Errors: DataError where an image, or its masks, cannot be read."""
        try:
            return self._batch(indices)
        except (ValueError, OSError) as error:
            raise DataError(str(error)) from error

    def _batch(self, indices: list[int]) -> Batch:
        passes = [divmod(index, len(self)) for index in indices]
        if self.shuffled:
            rows = self.rows[[order(self.seed, self.split, turn, len(self))[place] for turn, place in passes]]
        else:
            rows = self.rows[[place for _, place in passes]]
        images = torch.from_numpy(self.images[rows])
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        truth = self.truth.of(rows)
        count, what, where = (torch.from_numpy(part) for part in (truth.count, truth.what, truth.where))
        return Batch(images, count, what, where, *self._boxes_and_masks(truth))

    def _boxes_and_masks(self, truth: TruthArrays) -> tuple[Tensor | None, Tensor | None]:
        """Boxes and masks."""
        boxes = None if truth.boxes is None else torch.from_numpy(truth.boxes)
        if truth.masks is None or self.split == "train":
            return boxes, None
        masks, around = map(torch.from_numpy, truth.masks.load())
        return around if boxes is None else boxes, masks


@lru_cache(maxsize=8)
def order(seed: int, split: str, turn: int, length: int) -> NDArray[np.int64]:
    """The numbers 0 ... length - 1 as they come in pass ``turn``."""
    return stream(seed, split, turn).permutation(length)
