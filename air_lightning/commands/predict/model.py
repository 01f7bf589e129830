"""A trained model that explains images, whatever they are given as."""

import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from air_lightning.backgrounds import Background
from air_lightning.commands.predict.cameras import in_original_image
from air_lightning.commands.predict.defaults import usual_defaults
from air_lightning.commands.predict.images import GivenImage, InputFormat, from_given
from air_lightning.commands.predict.records import Prediction, predictions
from air_lightning.commands.predict.tiles import check_tiles, cut, merged
from air_lightning.model.air import AIR
from air_lightning.model.calibration import Powers
from air_lightning.runs.hub import is_shared
from air_lightning.runs.levels import levels_of
from air_lightning.runs.loading import load_module, named_run, shipped
from datamodules.image_files.finishing import Stretch
from datamodules.image_files.levels import Levels
from datamodules.image_files.store import ViewOf, whole
from renderers.first_process import warn
from renderers.spaces import Categorical

UNLIKE = 2.0
"""Of how many times the usual reconstruction error an image is unlike those that the model was validated with."""
VISIBLE = 0.01
"""Of values in [0, 1]: less is left by 8 bits a value and light compression."""


class Model:
    """Explains images: how many objects, where and what. Made by ``air_lightning.load``.

    Args:
        module: trained; it is set to evaluation.
        levels: which numbers of files and arrays are black and white (``datamodules.image_files.levels``).
        stretch: of what overlays show, ``linear`` or ``asinh``; the model sees linear values.
    Errors:
        ValueError for a renderer of neither grey nor RGB images, of which there are no files.
    """

    def __init__(self, module: AIR, levels: Levels = Levels(), stretch: Stretch = "linear") -> None:
        if module.renderer.image_shape[0] not in (1, 3):
            raise ValueError(
                f"the model's images have {module.renderer.image_shape[0]} channels: predictions are of grey (1) and "
                "RGB (3) images only"
            )
        self.module, self.levels, self.stretch = module.eval(), levels, stretch
        self.overlap: int | None = None
        self.view_of: ViewOf = whole
        """What it sees of an image, by its file and its width and height."""

    @classmethod
    def load(
        cls, run: str | Path, checkpoint: str | Path = "best", device: str = "cpu", options: Sequence[str] = ()
    ) -> "Model":
        """As ``air_lightning.load``; options: arguments that win over the run's, as of ``load_module``."""
        if not isinstance(run, str | Path) or not str(run).strip():
            raise ValueError(
                f"run must be the folder of a fit or the name of a model that comes with the package "
                f"({', '.join(shipped())}), got {run!r}"
            )
        if not isinstance(checkpoint, str | Path):
            raise ValueError(f"checkpoint must be 'best', 'last' or a file, got {checkpoint!r}")
        folder = Path(run)
        if is_shared(str(run)) or (not folder.exists() and str(run) in shipped()):
            folder = named_run(str(run))
        elif not folder.exists():
            raise ValueError(
                f"run_dir {str(run)!r} does not exist: give the folder that `fit --run_dir DIR` wrote, or one of the "
                f"models that come with the package, {', '.join(shipped())}"
            )
        _check_device(device)
        with usual_defaults():
            module = load_module(folder, checkpoint, device, options)
        return cls(module, *levels_of(folder))

    @property
    def input_format(self) -> InputFormat:
        """How it wants its images."""
        return InputFormat(self.image_shape, self.levels, self.stretch, self.overlap is not None, self.view_of)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the model looks at; others are scaled to it."""
        colors, height, width = self.module.renderer.image_shape
        return colors, height, width

    @property
    def usual_batch(self) -> int:
        """Images computed at a time unless another number is asked for: a million pixels, 256 images at most."""
        _, height, width = self.image_shape
        return min(256, max(1, 2**20 // (height * width)))

    @property
    def slots(self) -> int:
        """The most objects it finds."""
        return self.module.slots

    @property
    def identities(self) -> tuple[str, ...] | None:
        """The names of the identities; None where objects have a code of appearance."""
        space = self.module.renderer.what
        return space.names if isinstance(space, Categorical) else None

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """``identities`` by their name of before."""
        return self.identities

    @property
    def units(self) -> dict[str, str]:
        """The unit of each coordinate of a pose."""
        return {c.name: c.unit for c in self.module.renderer.where.coordinates}

    @property
    def usual_error(self) -> float | None:
        """The reconstruction error that 99 of 100 images of its validation, or adaptation, have at most, if known."""
        return self.module.powers.usual_error

    @property
    def unlike_from(self) -> float:
        """``UNLIKE`` times the usual error, ``VISIBLE`` at least; infinite where the usual one is not known."""
        return math.inf if self.usual_error is None else max(UNLIKE * self.usual_error, VISIBLE)

    def is_unlike(self, prediction: Prediction) -> bool:
        """Whether an image is drawn so much worse than is usual that what is said of it, however sure, may be wrong.

        It is of another world then than the model was trained on: another camera, light or background, other objects.
        False where its error is ``unlike_from`` at most, or not told.
        """
        error = prediction.reconstruction_error
        return error is not None and error > self.unlike_from

    @property
    def waits(self) -> bool:
        """Whether its background has to look at images first, with ``fit_background``."""
        background = self.module.background
        return background is not None and background.waits

    def replace_background(self, background: Background) -> None:
        """Have this behind the objects in the place of the model's own, which the model's powers were fitted with.

        These no longer hold then, which a warning says.
        """
        background.prepare(self.module.renderer)
        if not self.module.powers.are_none:
            warn(
                f"the model's powers were fitted with another background than {type(background).__name__}, so "
                "posteriors are as they were learnt"
            )
        self.module.background, self.module.powers = background.to(self.module.device), Powers()

    def work_in_tiles(self, overlap: int) -> None:
        """Take images larger than the model's as tiles of its size from now on, which overlap by so many pixels.

        Otherwise they are scaled to it. Errors: ValueError for a renderer whose poses have no x and y in the image, for
        an overlap that is no part of a tile, and for a background that waits for images.
        """
        check_tiles(self.module.renderer, overlap)
        if self.waits:
            raise ValueError(
                f"{type(self.module.background).__name__} looks at the images that are given, and tiles of them show "
                "different places, which have no background in common: leave one of the two out"
            )
        self.overlap = overlap

    def fit_background(self, images: Sequence[GivenImage]) -> None:
        """Show the background images that are as the model wants them. Errors: ValueError where they make none."""
        assert self.module.background is not None
        given = [image.image for image in images] or [torch.empty(self.image_shape)[:0]]
        self.module.background.fit(torch.stack(given).to(self.module.device))

    def infer(
        self, images: Any, batch_size: int | None = None, all_slots: bool = False, segmented: bool = False
    ) -> list[Prediction]:
        """Explain images; the answer has one record for each, whatever they are given with.

        Args:
            images: an array (H, W), (H, W, C), (N, H, W) or (N, H, W, C), where one of three dimensions is a single
                image if its last is 1, 3 or 4; a tensor (H, W), (C, H, W) or (N, C, H, W); a PIL image; or a list
                of these. C = 1, 3 or 4. Values are uint8, uint16, bool, or real in [0, 1]; any where ``levels`` are
                stated, as they are by the data of a run that was trained with a ``scale``. Other sizes than the
                model's are scaled to it whatever their proportions, grey is made of colour and colour of grey,
                transparent parts become black.
            batch_size: images computed at a time; None: ``usual_batch``.
            all_slots: also list the slots that are likelier absent (``Prediction.slots``).
            segmented: also say which pixels show each object (``FoundObject.segmentation``).
        A background that waits for images (a median in a model that was trained without) looks at these first.

        Errors:
            ValueError for anything else, with its shape and type.
        """
        batch_size = self.usual_batch if batch_size is None else batch_size
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(
                f"batch_size must be a whole number of at least 1, got {batch_size}: {self.usual_batch} is usual"
            )
        with usual_defaults():
            given = from_given(images, self.input_format)
            if self.waits:
                self.fit_background(given)
            batches = (given[start : start + batch_size] for start in range(0, len(given), batch_size))
            return [prediction for batch in batches for prediction in self.infer_batch(batch, all_slots, segmented)]

    def infer_batch(
        self, batch: Sequence[GivenImage], all_slots: bool = False, segmented: bool = False
    ) -> list[Prediction]:
        """Explain one batch of images that are as the model wants them."""
        if self.overlap is not None:
            return [self._tiled(given, self.overlap, all_slots, segmented) for given in batch]
        sizes = [given.size if given.view is None else given.view.shape[::-1] for given in batch]
        seen = self._batch_predictions(torch.stack([given.image for given in batch]), sizes, all_slots, segmented)
        return [s if given.view is None else in_original_image(s, given.view) for s, given in zip(seen, batch)]

    def _batch_predictions(
        self, images: Tensor, sizes: list[tuple[int, int]], all_slots: bool, segmented: bool
    ) -> list[Prediction]:
        seen = self.module.infer(images.to(self.module.device))
        return predictions(self.module.renderer, seen, sizes, all_slots, segmented)

    def _tiled(self, given: GivenImage, overlap: int, all_slots: bool, segmented: bool) -> Prediction:
        _, height, width = self.image_shape
        tiles, shown = cut(given.image, (width, height), overlap)
        seen = [
            s for part in shown for s in self._batch_predictions(part, [(width, height)] * len(part), True, segmented)
        ]
        return merged(tiles, seen, overlap, all_slots)


def _check_device(name: str) -> None:
    """ValueError where torch has no such device, or not here."""
    try:
        kind = torch.device(name).type
    except (RuntimeError, TypeError):
        raise ValueError(f"there is no device {name!r}: give 'cpu', or 'cuda' where there is a GPU") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} cannot be had, torch sees no CUDA GPU: give 'cpu'")
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, TypeError):  # torch has all of them for a device that is not there
        raise ValueError(
            f"device {name!r} cannot be had, torch computes nothing there: give 'cpu', or 'cuda' where there is a GPU"
        ) from None
