"""What all images of a data set share, in checkpoints: by name, so that a model with others takes those that it has."""

from collections.abc import Mapping

import torch
from torch import Tensor

from renderers.base import Renderer

SHARED = "shared"
"""Where checkpoints say what their images share, a number by name of coordinate."""
WEIGHT = "renderer.shared_values"


def values_by_name(renderer: Renderer) -> dict[str, float]:
    """The present values of the renderer's shared coordinates; none where it has none."""
    return {} if renderer.shared is None else dict(zip(renderer.shared.names, renderer.shared_values.tolist()))


def with_shared(
    weights: Mapping[str, Tensor], renderer: Renderer, kept: Mapping[str, float] | None
) -> dict[str, Tensor]:
    """A checkpoint's weights, with values for all shared coordinates that the renderer has, and no others.

    kept: what the checkpoint says of them; for what it lacks the renderer's present values stay.
    """
    others = {name: weight for name, weight in weights.items() if name != WEIGHT}
    if renderer.shared is None:
        return others
    values = values_by_name(renderer) | {name: v for name, v in (kept or {}).items() if name in renderer.shared.names}
    return others | {WEIGHT: torch.tensor(list(values.values()), device=renderer.device)}
