"""Supervised learning of the same network from labelled scenes: what learning without labels is compared with."""

import torch

from air_lightning.model.sleep import Drawn
from datamodules.base import Batch, DataError, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical


def label_names(renderer: Renderer, data: SceneDataModule) -> tuple[str, ...]:
    """The coordinates of the data's poses, in order.

    Raises:
        ValueError: it does not tell each object's identity and every coordinate of the renderer's pose.
    """
    if not isinstance(renderer.what, Categorical):
        raise ValueError(
            f"model.supervised learns identities from labels, and {type(renderer).__name__} has none: its codes of an "
            "appearance are in no label; leave model.supervised out"
        )
    if renderer.scene is not None:
        raise ValueError(
            f"model.supervised does not know coordinates of the scene, and {type(renderer).__name__} has "
            f"{', '.join(renderer.scene.names)}: leave model.supervised out, or fix them"
        )
    names = data.coordinates(renderer) if data.has_truth else ()
    missing = [name for name in renderer.where.names if name not in names]
    if missing or not data.has_identities:
        raise ValueError(
            f"model.supervised needs labels of all that is inferred, and {type(data).__name__} does not tell "
            f"{', '.join([*missing, *([] if data.has_identities else ['identity'])])}: leave model.supervised out, or "
            "choose data that does, Scenes3D for example"
        )
    return names


def labelled(renderer: Renderer, names: tuple[str, ...], batch: Batch, slots: int) -> Drawn:
    """The true scenes of a batch, with room for N = ``slots`` objects.

    Args:
        names: of the coordinates of the batch's poses, in order.

    Raises:
        DataError: an object's identity or a coordinate of its pose is not told.
    """
    there = torch.arange(batch.what.shape[1], device=batch.what.device) < batch.count.unsqueeze(1)
    where = batch.where[..., [names.index(name) for name in renderer.where.names]]
    told = (batch.what >= 0) & where.isfinite().all(-1)
    if not (told | ~there).all():
        raise DataError(
            "model.supervised has met an object whose identity or pose is not told: leave its image out of the "
            "training data, or leave model.supervised out"
        )
    room = slots - batch.what.shape[1]
    what = torch.nn.functional.pad(batch.what.where(there, 0), (0, room))
    where = torch.nn.functional.pad(where.where(there.unsqueeze(-1), 0.0), (0, 0, 0, room))
    return Drawn(batch.count, what, where, renderer.where.unconstrain(where))
