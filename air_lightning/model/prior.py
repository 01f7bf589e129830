"""Images of objects from a renderer's prior."""

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.spaces import Categorical


def images_from_prior(renderer: Renderer, count: int, objects: int, random: torch.Generator) -> Tensor:
    """Images (count, C, H, W) in [0, 1] of so many objects each, with poses and looks from their priors."""
    shape = (count, objects)
    where = renderer.where.clamp(renderer.where.constrain(torch.randn(*shape, len(renderer.where), generator=random)))
    if isinstance(renderer.what, Categorical):
        what = torch.randint(renderer.identity_count, shape, generator=random)
    else:
        what = torch.randn(*shape, renderer.what.dim, generator=random)
    with torch.no_grad():
        return renderer.render(what, where)[:, -1].clamp(0, 1)
