"""AIR (Attend, Infer, Repeat) in PyTorch Lightning, with renderers as plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from air_lightning.predict.model import Model

__version__ = "0.1.0"


def load(run: str | Path, checkpoint: str | Path = "best", device: str = "cpu") -> Model:
    """A trained model, to explain pictures with: ``air_lightning.load("runs/mine").infer(images)``.

    Args:
        run: the folder of a fit, or the name of a model that comes with the package, ``scenes3d`` or
            ``multi_mnist``; a folder of that name goes before.
        checkpoint: ``best`` or ``last`` of the run, or a file.
        device: where to compute, ``cpu`` or ``cuda``.
    Errors:
        ValueError where there is no such run or checkpoint, or where they do not go together.
    """
    from air_lightning.predict.model import Model  # torch and all the rest, when they are wanted

    return Model.load(run, checkpoint, device)
