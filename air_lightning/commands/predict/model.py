"""A trained model that explains pictures of any kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from air_lightning.commands.predict.pictures import Picture, from_given
from air_lightning.commands.predict.records import Prediction, predictions
from air_lightning.model.module import AIRModule
from air_lightning.runs.loading import load_module, shipped, shipped_run
from renderers.spaces import Categorical


class Model:
    """Explains pictures: how many objects, where and what. Made by ``air_lightning.load``.

    Args:
        module: trained; it is set to evaluation.
    Errors:
        ValueError for a renderer of neither grey nor RGB pictures, of which there are no files.
    """

    def __init__(self, module: AIRModule) -> None:
        if module.renderer.image_shape[0] not in (1, 3):
            raise ValueError(
                f"the model's pictures have {module.renderer.image_shape[0]} channels: predictions are of grey (1) and "
                "RGB (3) pictures only"
            )
        self.module = module.eval()

    @classmethod
    def load(cls, run: str | Path, checkpoint: str | Path = "best", device: str = "cpu") -> "Model":
        """As ``air_lightning.load``."""
        folder = Path(run)
        if not folder.exists() and str(run) in shipped():
            folder = shipped_run(str(run))
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} cannot be had, torch sees no CUDA GPU: give 'cpu'")
        return cls(load_module(folder, checkpoint, device))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures that the model looks at; others are scaled to it."""
        colors, height, width = self.module.renderer.image_shape
        return colors, height, width

    @property
    def slots(self) -> int:
        """The most objects it finds."""
        return self.module.slots

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The names of the identities; None where objects have a code of appearance."""
        space = self.module.renderer.what
        return space.names if isinstance(space, Categorical) else None

    @property
    def units(self) -> dict[str, str]:
        """The unit of each coordinate of a pose."""
        return {c.name: c.unit for c in self.module.renderer.where.coordinates}

    def infer(self, images: Any, batch_size: int = 64) -> list[Prediction]:
        """Explain pictures; the answer has one record for each, whatever they are given with.

        Args:
            images: an array (H, W), (H, W, C), (N, H, W) or (N, H, W, C), where one of three dimensions is a single
                picture if its last is 1, 3 or 4; a tensor (H, W), (C, H, W) or (N, C, H, W); a PIL picture; or a list
                of these. C = 1, 3 or 4. Values are uint8, bool, or real in [0, 1]. Other sizes than the model's are
                scaled to it whatever their proportions, grey is made of colour and colour of grey, transparent parts
                become black.
            batch_size: pictures computed at a time.
        Errors:
            ValueError for images of another kind, with their shape and type.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}: 64 is usual")
        pictures = from_given(images, self.image_shape)
        batches = (pictures[start : start + batch_size] for start in range(0, len(pictures), batch_size))
        return [prediction for batch in batches for prediction in self.explain(batch)]

    def explain(self, batch: Sequence[Picture]) -> list[Prediction]:
        """Explain one batch of pictures that are as the model wants them."""
        images = torch.stack([picture.image for picture in batch]).to(self.module.device)
        return predictions(self.module.renderer, self.module.infer(images), [p.original.size for p in batch])
