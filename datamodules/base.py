"""What every data module gives: batches with images, and the truth for evaluation only."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, SequentialSampler

from datamodules.batch import Batch as Batch
from datamodules.batch import DataError as DataError
from datamodules.batch import checked_batch
from datamodules.batch_checks import check_images, check_truth
from renderers.base import Renderer
from renderers.constants import constant
from renderers.spaces import Categorical, Coordinate

SPLITS = ("train", "val", "test", "predict")


def stream(seed: int, split: str, index: int, purpose: int = 0) -> np.random.Generator:
    """The random numbers of scene ``index`` of a split, for one purpose: no two streams share a number."""
    # `predict` shows the scenes of `test`
    key = np.array((seed, SPLITS.index("test" if split == "predict" else split)), np.uint64)
    counter = np.array((0, 0, purpose, index), np.uint64)
    # Philox(key=key, counter=counter), which would ask the system for random bits first, in vain and for long
    bits = np.random.Philox(_Zeros())  # type: ignore[arg-type]  # it takes any ISeedSequence
    bits.state = {
        "bit_generator": "Philox", "state": {"counter": counter, "key": key},
        "buffer": np.zeros(4, np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
    }  # fmt: skip
    return np.random.Generator(bits)


class _Zeros(ISeedSequence):
    """A seed for generators whose state is set afterwards."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        return np.zeros(n_words, dtype)


def checked_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """``counts``, or ValueError where a scene cannot hold so many objects."""
    if not counts or min(counts) < 0:
        raise ValueError(f"counts must be a list of numbers >= 0, got {list(counts)}: [0, 1, 2, 3], for example")
    return tuple(counts)


class Scenes(Dataset[Batch], ABC):
    """A counted set of scenes: scene i is a pure function of i, fetched a batch at a time.

    There is a scene of every number from 0 on, unless a held-out split has ``__len__``: then it is not asked for others
    and each is evaluated once. Training goes on counting from epoch to epoch: of a finite set, take i modulo its size.
    """

    @abstractmethod
    def __getitems__(self, indices: list[int]) -> Batch:
        """The scenes of these numbers, as one batch."""

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def depth(self, indices: list[int]) -> Tensor | None:
        """The distance (B, H, W) along the optical axis of the object that each pixel shows, in the unit of positions.

        Infinite where it shows none. Default: None, it is not known.
        """
        return None


class CounterSampler(DistributedSampler[Any]):
    """A process's share of the numbers ``epoch * length ... (epoch + 1) * length - 1``: no scene is seen twice.

    The processes take turns, so that their k-th batches together are the k-th batch of one process that takes as many
    at once. An epoch is filled up with new scenes to as many for each. (A DistributedSampler, because Lightning leaves
    those as they are; in the place of any other it puts its own, which fills up with scenes that were seen.)

    Args:
        length: scenes an epoch. replicas, rank: how many processes there are, and which of them this is, from 0 on.
    """

    def __init__(self, length: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(length), replicas, rank, shuffle=False)  # type: ignore[arg-type]  # it has a length

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.total_size
        return iter(range(start + self.rank, start + self.total_size, self.num_replicas))


class HeldOutSampler(DistributedSampler[Any]):
    """A process's share of the numbers ``0 ... length - 1``, the same in every epoch, each number in one share only.

    Shares follow one another in the order of ranks; none is filled up, so they differ by at most one scene.

    Args:
        as of CounterSampler.
    """

    def __init__(self, length: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(length), replicas, rank, shuffle=False)  # type: ignore[arg-type]  # it has a length
        bounds = (-(-length * place // replicas) for place in (rank, rank + 1))
        self.numbers = range(*bounds)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


class OverfitSampler(HeldOutSampler, SequentialSampler):
    """For ``overfit_batches``: a trainer puts a sampler of its own in the place of all but sequential ones."""


class TrainingLoader(DataLoader[Any]):
    """A loader that goes on where a checkpoint from within an epoch left it, so that resuming is exact.

    The trainer saves and restores its state: how many scenes of which epoch have been given, in all processes.
    """

    _state = _resume = {"epoch": -1, "scenes": 0}

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator: the epoch is told after iter()
        epoch = getattr(self.sampler, "epoch", 0)
        start = self._resume["scenes"] // self._at_once if self._resume["epoch"] == epoch else 0
        self._resume = {"epoch": -1, "scenes": 0}
        for done, batch in enumerate(super().__iter__(), 1):
            if done > start:
                self._state = {"epoch": epoch, "scenes": done * self._at_once}
                yield batch

    def state_dict(self) -> dict[str, int]:
        return dict(self._state)

    def load_state_dict(self, state: dict[str, int]) -> None:
        # an epoch that was complete is not gone on with
        complete = state["scenes"] >= len(self) * self._at_once
        self._resume = {"epoch": -1, "scenes": 0} if complete else state

    @property
    def _at_once(self) -> int:
        """Scenes of a batch, over all processes."""
        assert self.batch_size is not None
        return self.batch_size * getattr(self.sampler, "num_replicas", 1)


class SceneDataModule(pl.LightningDataModule, ABC):
    """Scenes by number for each split.

    Args:
        batch_size: scenes a step, of each process.
        train_scenes: scenes an epoch, of all processes (every epoch has new ones).
        val_scenes, test_scenes: held-out scenes.
        seed: of all of them; splits never share a stream.
    """

    renderer: Renderer | None = None
    """What draws the scenes, where that is a renderer, and not the model's."""
    any_values: bool = False
    """Whether images may hold any numbers, photons for example; if not they lie in [0, 1], noise aside."""

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
        self._looked_at: set[tuple[Any, ...]] = set()
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

    def scene_coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        """The coordinates of whole scenes that batches hold, by name. Default: none."""
        return ()

    @property
    def has_identities(self) -> bool:
        """Whether the truth, where there is one, tells identities."""
        return self.has_truth

    @property
    def identity_names(self) -> tuple[str, ...] | None:
        """The names of what ``what`` counts; None where they are those of the model's renderer, or nobody's."""
        return None

    def identity_numbers(self, renderer: Renderer) -> tuple[int, ...] | None:
        """The renderer's number of each of ``identity_names``, by name; None: they have its own, or none to compare.

        Raises:
            ValueError: the renderer does not draw one of them.
        """
        if not (self.has_identities and isinstance(renderer.what, Categorical)) or self.identity_names is None:
            return None
        names, mine = tuple(self.identity_names), renderer.what.names
        if unknown := [name for name in names if name not in mine]:
            raise ValueError(
                f"{type(self).__name__} has objects of the identity {unknown[0]!r}, {type(renderer).__name__} draws "
                f"{', '.join(mine)}: name identities alike in both, leave it out of the data, or choose a renderer "
                "that draws it"
            )
        return None if names == mine[: len(names)] else tuple(mine.index(name) for name in names)

    def renumbered(self, batch: Batch, renderer: Renderer) -> Batch:
        """A batch whose identities have the renderer's numbers (``identity_numbers``); -1, not told, stays."""
        numbers = self.identity_numbers(renderer)
        if numbers is None:
            return batch
        there = torch.arange(batch.what.shape[1], device=batch.what.device) < batch.count.unsqueeze(1)
        table = constant((*numbers, -1), batch.what.dtype, batch.what.device)
        return batch._replace(what=table[batch.what.where(there, -1)])

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of the images; None where the model's renderer decides it."""
        return None

    @property
    def extras(self) -> tuple[str, ...]:
        """Of ``boxes`` and ``masks``, those that batches may hold."""
        return "boxes", "masks"

    def displayed(self, images: Tensor) -> Tensor:
        """Images (..., H, W) of these scenes, or reconstructions of them, as figures show them: black 0, white 1."""
        return images

    def coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        """The names of the coordinates of ``where`` in batches, in order; none where the truth tells no poses.

        Args:
            renderer: the model's, whose own they are unless the data has others.

        Raises:
            ValueError: the scenes cannot be made with this renderer.
        """
        return renderer.where.names

    def periods(self, renderer: Renderer) -> Mapping[str, float]:
        """Radians by identity: the turns about the upward axis that change nothing, where the truth tells them.

        2 pi: none does; 0: all do. Of other identities the renderer's are taken.
        """
        return {}

    @property
    def palette(self) -> Sequence[tuple[float, ...]]:
        """RGB in [0, 1] of all the colours that objects may have, where the truth has but a few; none otherwise."""
        return ()

    def scene_count(self, split: str) -> int:
        """How many scenes an epoch of this split has."""
        return self.sizes[split]

    def check_shares(self, split: str, processes: int) -> None:
        """ValueError where some process would get no scene of a held-out split: it could not evaluate with the others.

        Called once the data is there.
        """
        scenes = self.scene_count(split)
        if scenes < processes:
            raise ValueError(
                f"the {split} split has {scenes} scenes, fewer than the {processes} processes that share them: raise "
                f"data.{'val' if split == 'val' else 'test'}_scenes, or take fewer devices"
            )

    @abstractmethod
    def scenes(self, split: str) -> Scenes:
        """The scenes of one of ``train``, ``val``, ``test``, ``predict`` (which is ``test`` again)."""

    def detailed(self, split: str) -> Scenes:
        """The same scenes with boxes and masks that evaluation does without, for whoever writes them to files.

        Default: ``scenes``.
        """
        return self.scenes(split)

    def first_images(self, split: str, most: int) -> Tensor:
        """The first images of a split by number, at most so many, (B, C, H, W); (0,) where it has none.

        Errors:
            DataError where its scenes give no ``Batch``.
        """
        scenes = self.scenes(split)
        there = min(most, len(scenes) if isinstance(scenes, Sized) else self.scene_count(split))
        numbers = [list(range(first, min(first + 64, there))) for first in range(0, there, 64)]
        batches = (checked_batch(type(self).__name__, scenes.__getitems__(some)) for some in numbers)
        return torch.cat([batch.images for batch in batches] or [torch.empty(0)])

    def loader(self, split: str) -> DataLoader[Any]:
        """Batches of a split in order; the training split goes on counting from epoch to epoch.

        With the trainer's ``overfit_batches`` every epoch has the same scenes. In parallel training it gives this
        process's share of them.
        """
        share = getattr(self.trainer, "world_size", 1), getattr(self.trainer, "global_rank", 0)
        scenes, size = self.scenes(split), self.scene_count(split)
        # a generator of its own: what the model draws does not depend on when a loader is started
        options: dict[str, Any] = {"batch_size": self.batch_size, "collate_fn": _as_is, "generator": torch.Generator()}
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        if split == "train":
            sampler = OverfitSampler(size, *share) if overfits else CounterSampler(size, *share)
            return TrainingLoader(scenes, sampler=sampler, **options)
        held_out = min(size, len(scenes)) if isinstance(scenes, Sized) else size
        kind = OverfitSampler if overfits else HeldOutSampler
        return DataLoader(scenes, sampler=kind(held_out, *share), **options)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.loader("predict")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch there, its identities by the model's numbers.

        Errors:
            DataError where the first batch of a loader tells no such truth as ``Batch`` and the data module say.
        """
        if not isinstance(batch, Batch):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        model = self._model
        if model is not None and self._is_first("truth", dataloader_idx):
            check_truth(model.renderer, self, batch, self._measures)
        # what comes from the host's ordinary memory is copied at once, but the GPU's work is not waited for
        parts: list[Any] = [None if part is None else part.to(device, non_blocking=True) for part in batch]
        moved = Batch(*parts)
        return moved if model is None else self.renumbered(moved, model.renderer)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch as it is. A subclass that changes it here gives what it has made of it to this method.

        Errors:
            DataError where the first of a loader is no ``Batch``, or its images are not such as the model's renderer
            draws.
        """
        model = self._model
        if model is not None and self._is_first("images", dataloader_idx):
            images = checked_batch(type(self).__name__, batch).images
            check_images(model.renderer, self, images, model.dtype)
        return batch

    def _is_first(self, part: str, loader: int) -> bool:
        """Whether this part of a batch has not been asked for yet, of this loader and model: to look at all is slow."""
        assert self.trainer is not None
        key = part, loader, self.trainer.state.stage, id(self._model)
        is_first = key not in self._looked_at
        self._looked_at.add(key)
        return is_first

    @property
    def _measures(self) -> bool:
        """Whether batches' truth is compared with what is inferred."""
        trainer = self.trainer
        return trainer is not None and (trainer.validating or trainer.sanity_checking or trainer.testing)

    @property
    def _model(self) -> Any:
        """The trainer's, where it has a renderer; None otherwise."""
        model = getattr(self.trainer, "lightning_module", None)
        return model if isinstance(getattr(model, "renderer", None), Renderer) else None


def _as_is(batch: Any) -> Any:
    return batch


def width(places: Sequence[Coordinate]) -> float:
    """Of the region that these positions are in; the image's where they are in half images, whatever they span."""
    return max((2.0 if place.unit == "half images" else place.high - place.low for place in places), default=1.0)
