"""AIR (Attend, Infer, Repeat) in PyTorch Lightning, with renderers as plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from air_lightning.moved import import_by_old_names
from air_lightning.version import __version__

if TYPE_CHECKING:
    from air_lightning.commands.predict.model import Model

__all__ = ["__version__", "load"]

import_by_old_names()


def load(run: str | Path, checkpoint: str | Path = "best", device: str = "cpu") -> Model:
    """A trained model, to explain images with: ``air_lightning.load("runs/mine").infer(images)``.

    Args:
        run: the folder of a fit, or the name of a model that comes with the package, ``scenes3d``, ``tabletop``,
            ``tabletop_camera``, ``clevr`` or ``multi_mnist``; a folder of that name goes before. Or `hf://owner/name`,
            from the Hugging Face Hub.
        checkpoint: ``best`` or ``last`` of the run, or a file.
        device: where to compute, ``cpu`` or ``cuda``.
    Errors:
        ValueError where there is no such run or checkpoint, or where they do not go together.
    """
    from air_lightning.commands.predict.model import Model  # torch and all the rest, when they are wanted

    return Model.load(run, checkpoint, device)
