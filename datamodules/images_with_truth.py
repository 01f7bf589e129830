"""What data modules of images from elsewhere share, of which nothing is known, or what a truth tells."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import width
from datamodules.image_files.finishing import Stretch, stretched
from datamodules.stills import Images, StillModule, Stills
from datamodules.truth.arrays import POSITION, ImageTruth, TruthArrays, nothing
from renderers.base import Renderer
from renderers.first_process import warn


class ImagesWithTruth(StillModule):
    """Images of one source, split at random, always alike; no truth (see StillModule) unless one is given.

    A subclass checks its arguments by ``check_arguments``, and calls ``hold`` in its constructor, once it has seen the
    images and their truth.
    """

    source: str
    """The argument that names the images' file or folder, as messages show it."""
    any_values = True  # as their levels are stated, and in [0, 1] where they are not

    def hold(
        self,
        images: Images,
        truth: ImageTruth | None,
        shares: tuple[float, float],
        stretch: Stretch,
        names: Iterable[str] = (),
    ) -> None:
        """Take images and truth.

        Args:
            images: (N, C, H, W). truth: of them; None: nothing is known.
            shares: of the images that are for validation and for test; a test share of 1 takes all of them.
            stretch: of figures. names: of the images, in order, where they have any.
        Raises:
            ValueError: there are too few of them.
        """
        self._pixels, self._truth, self.shares, self.stretch = images, truth, shares, stretch
        self._names = hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
        if shares[1] == 1:
            return
        if self._size < 3:
            raise ValueError(
                f"{self.source} holds {self._size} images, expected 3 at least: one to train on, "
                "one to validate and one to test; test_share=1 makes all of them test images"
            )
        if not len(self._rows["train"]):
            raise ValueError(
                f"val_share={shares[0]} and test_share={shares[1]} take all of the {self._size} images in "
                f"{self.source} and leave none to train on: lower them"
            )

    @property
    def has_truth(self) -> bool:
        return self._truth is not None

    @property
    def has_identities(self) -> bool:
        return self._truth is not None and self._truth.has_identities

    @property
    def largest_count(self) -> int:
        return 0 if self._truth is None else self._truth.most

    @property
    def extent(self) -> float:
        renderer = self._renderer()
        if renderer is None or not self.coordinates(renderer):
            return super().extent
        return width([coordinate for coordinate in renderer.where.coordinates if coordinate.name in POSITION])

    @property
    def extras(self) -> tuple[str, ...]:
        if self._truth is None:
            return ()
        known = {"boxes": self._truth.has_boxes, "masks": self._truth.has_masks}
        return tuple(name for name, is_known in known.items() if is_known)

    @property
    def identity_names(self) -> tuple[str, ...] | None:
        return self._truth.names(self._renderer()) if self._truth is not None and self.has_identities else None

    def coordinates(self, renderer: Renderer | None) -> tuple[str, ...]:
        if self._truth is not None:
            return self._truth.known_coordinates(renderer)
        return () if renderer is None else super().coordinates(renderer)

    def periods(self, renderer: Renderer) -> Mapping[str, float]:
        return {} if self._truth is None else self._truth.periods

    @property
    def palette(self) -> Sequence[tuple[float, ...]]:
        return () if self._truth is None else tuple(self._truth.palette.values())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self._pixels.shape
        return channels, height, width

    def check_shares(self, split: str, processes: int) -> None:
        if not len(self._rows[split]):
            raise ValueError(
                f"test_share=1 makes all images of {self.source} test images and leaves none for "
                f"{'training and validation' if split == 'val' else split}: `test` measures on them"
            )
        super().check_shares(split, processes)

    def scene_count(self, split: str) -> int:
        most = len(self._rows[split])
        return self.sizes[split] if split == "train" and most else min(self.sizes[split], most)

    def scenes(self, split: str) -> Stills:
        rows = self._rows[split]
        # where all are looked at, one after the other: figures are then, to the last digit, those of scenes that were
        # written in this order, and a file of many images is read once through
        whole = split != "train" and len(rows) <= self.sizes[split]
        truth = self._truth_arrays()
        return Stills(self._pixels, truth, self.seed, split, np.sort(rows) if whole else rows, shuffled=not whole)

    def displayed(self, images: Tensor) -> Tensor:
        return stretched(images, self.stretch)

    def state_dict(self) -> dict[str, Any]:
        """Which images are held out, which follows from these; checkpoints keep it."""
        val_share, test_share = self.shares
        return {
            "source": self.source, "images": self._size, "names": self._names,
            "val_share": val_share, "test_share": test_share,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Warn where others of the same source are held out now than while a checkpoint was trained."""
        then, now = state_dict, self.state_dict()
        if then.get("source") != self.source or self.shares[1] == 1 or then == now:
            return
        before, after = (
            f"{s['images']} images, val_share {s['val_share']}, test_share {s['test_share']}" for s in (then, now)
        )
        changed = f"{before} then; {after} now" if before != after else f"{after}, and other names"
        warn(
            f"other images of {self.source} are held out than while the checkpoint was trained ({changed}): it has "
            "been trained on some of them, and figures look better than they are. Have the images and shares as they "
            "were, or measure on others, in a place of their own, with test_share 1"
        )

    @property
    def _size(self) -> int:
        return self._pixels.shape[0]

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        rows = np.random.Generator(np.random.Philox(key=0)).permutation(self._size)
        if self.shares[1] == 1:
            return {"val": rows[:0], "train": rows[:0], "test": rows, "predict": rows}
        val, test = (max(1, round(share * len(rows))) for share in self.shares)
        parts = {"val": rows[:val], "test": rows[val : val + test], "train": rows[val + test :]}
        return parts | {"predict": parts["test"]}

    def _truth_arrays(self) -> TruthArrays:
        if self._truth is None:
            return nothing(self._size)
        return self._truth.arrays(self._renderer(), self.image_shape[1:])

    def _renderer(self) -> Renderer | None:
        """The model's, where there is one, whose identities and coordinates batches are in."""
        renderer: Renderer | None = getattr(getattr(self.trainer, "lightning_module", None), "renderer", None)
        return renderer


def check_arguments(resize: tuple[int, int] | None, val_share: float, test_share: float) -> None:
    """ValueError for a size or for shares that cannot be."""
    if resize is not None and min(resize) < 1:
        raise ValueError(f"resize must be a height and a width of at least 1 pixel, got {list(resize)}")
    if not (val_share > 0 and test_share > 0 and (val_share + test_share < 1 or test_share == 1)):
        raise ValueError(
            f"val_share and test_share must be positive and leave something to train on, got {val_share} and "
            f"{test_share}: a test_share of 1 alone makes all of them test images"
        )
