"""What every data module gives: batches with pictures, and the truth for evaluation only."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

SPLITS = ("train", "val", "test", "predict")


class Batch(NamedTuple):
    """B scenes.

    Attributes:
        images: (B, C, H, W) in [0, 1].
        count: (B,) true number of objects. what: (B, T) their identities, where: (B, T, P) their poses in the
            renderer's coordinates; entries from ``count`` on mean nothing. For evaluation only: training never
            looks at them. Where the truth is not known (``SceneDataModule.has_truth``) ``count`` is -1.
        boxes: (B, T, 4) of flat objects: x0, y0, x1, y1 in pixels from the upper left corner, ends excluded. Or None.
        masks: (B, T, H, W) bool, the pixels where each object is what one sees. Or None.
    """

    images: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    what: Tensor
    where: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None


def stream(seed: int, split: str, index: int, purpose: int = 0) -> np.random.Generator:
    """The random numbers of scene ``index`` of a split, for one purpose: no two streams share a number."""
    # `predict` shows the scenes of `test`
    key = (seed, SPLITS.index("test" if split == "predict" else split))
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, purpose, index]))


def checked_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """``counts``, or ValueError where a scene cannot hold so many objects."""
    if not counts or min(counts) < 0:
        raise ValueError(f"counts must be a list of numbers >= 0, got {list(counts)}: [0, 1, 2, 3], for example")
    return tuple(counts)


class Scenes(Dataset[Batch], ABC):
    """A counted set of scenes: scene i is a pure function of i, fetched a batch at a time."""

    @abstractmethod
    def __getitems__(self, indices: list[int]) -> Batch:
        """The scenes of these numbers, as one batch."""

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])


class CounterSampler(Sampler[int]):
    """Numbers ``epoch * length ... (epoch + 1) * length - 1``: no scene is seen twice."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch = length, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.length, (self.epoch + 1) * self.length))


class TrainingLoader(DataLoader[Any]):
    """A loader that goes on where a checkpoint from within an epoch left it, so that resuming is exact.

    The trainer saves and restores its state: how many batches of which epoch have been given.
    """

    _state = _resume = {"epoch": -1, "done": 0}

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator: the epoch is told after iter()
        epoch = getattr(self.sampler, "epoch", 0)
        start = self._resume["done"] if self._resume["epoch"] == epoch else 0
        self._resume = {"epoch": -1, "done": 0}
        for done, batch in enumerate(super().__iter__(), 1):
            if done > start:
                self._state = {"epoch": epoch, "done": done}
                yield batch

    def state_dict(self) -> dict[str, int]:
        return dict(self._state)

    def load_state_dict(self, state: dict[str, int]) -> None:
        # an epoch that was complete is not gone on with
        self._resume = state if state["done"] < len(self) else {"epoch": -1, "done": 0}


class SceneDataModule(pl.LightningDataModule, ABC):
    """Scenes by number for each split.

    Args:
        batch_size: scenes a step.
        train_scenes: scenes an epoch (every epoch has new ones).
        val_scenes, test_scenes: held-out scenes.
        seed: of all of them; splits never share a stream.
    """

    def __init__(self, batch_size: int, train_scenes: int, val_scenes: int, test_scenes: int, seed: int) -> None:
        super().__init__()
        sizes = {"batch_size": batch_size, "train_scenes": train_scenes}
        sizes |= {"val_scenes": val_scenes, "test_scenes": test_scenes}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if seed < 0:
            raise ValueError(f"the data's seed must not be negative, got {seed}")
        self.batch_size, self.seed = batch_size, seed
        self.sizes = {"train": train_scenes, "val": val_scenes, "test": test_scenes, "predict": test_scenes}

    @property
    @abstractmethod
    def largest_count(self) -> int:
        """The most objects a scene may hold: the model needs at least as many slots."""

    @property
    @abstractmethod
    def extent(self) -> float:
        """Width of the region that objects stand in, in the unit of their position; errors are shares of it."""

    @property
    def has_truth(self) -> bool:
        """Whether batches tell the truth. If not, ``count`` is -1 and only what needs no truth can be measured."""
        return True

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of the pictures; None where the model's renderer decides it."""
        return None

    def scene_count(self, split: str) -> int:
        """How many scenes an epoch of this split has."""
        return self.sizes[split]

    @abstractmethod
    def scenes(self, split: str) -> Scenes:
        """The scenes of one of ``train``, ``val``, ``test``, ``predict`` (which is ``test`` again)."""

    def loader(self, split: str) -> DataLoader[Any]:
        """Batches of a split in order; the training split goes on counting from epoch to epoch."""
        size = self.scene_count(split)
        # a generator of its own: what the model draws does not depend on when a loader is started
        options: dict[str, Any] = {"batch_size": self.batch_size, "collate_fn": _as_is, "generator": torch.Generator()}
        if split == "train":
            return TrainingLoader(self.scenes(split), sampler=CounterSampler(size), **options)
        # Lightning tells every sampler the epoch, held-out ones too, which must go on showing the same scenes; and in
        # parallel training it shards any other sampler, but for a SequentialSampler asks the dataset's length
        return DataLoader(self.scenes(split), sampler=range(size), **options)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.loader("predict")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if isinstance(batch, Batch):
            parts: list[Any] = [None if part is None else part.to(device) for part in batch]
            return Batch(*parts)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def _as_is(batch: Any) -> Any:
    return batch
