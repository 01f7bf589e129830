"""What images that are there already share, of which little or nothing is known: a random order without end."""

from abc import abstractmethod
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.base import Batch, SceneDataModule, Scenes, stream
from datamodules.image_files.levels import Pixels
from datamodules.truth.arrays import TruthArrays


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
    """Images in a random order.

    Args:
        pixels: (N, C, H, W), N at least 1; uint8, of which 255 is 1, or float32 as they are.
        told: what is known of them, given in batches.
        seed, split: of the order.
    """

    def __init__(self, pixels: Pixels, told: TruthArrays, seed: int, split: str) -> None:
        assert len(pixels) and len(pixels) == len(told.count), split
        self.pixels, self.told, self.seed, self.split = pixels, told, seed, split

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitems__(self, indices: list[int]) -> Batch:
        passes = [divmod(index, len(self)) for index in indices]
        rows = np.array([order(self.seed, self.split, turn, len(self))[place] for turn, place in passes])
        images = torch.from_numpy(self.pixels[rows])
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        told = self.told.of(rows)
        count, what, where = (torch.from_numpy(part) for part in (told.count, told.what, told.where))
        return Batch(images, count, what, where, None if told.boxes is None else torch.from_numpy(told.boxes))


@lru_cache(maxsize=8)
def order(seed: int, split: str, turn: int, length: int) -> NDArray[np.int64]:
    """The numbers 0 ... length - 1 as they come in pass ``turn``."""
    return stream(seed, split, turn).permutation(length)
