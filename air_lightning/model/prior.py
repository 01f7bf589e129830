"""Draws from a renderer's prior: poses, looks, and images of both."""

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.spaces import FULL_TURN, Gaussian, Where


def unconstrained_from_prior(
    space: Where, shape: tuple[int, ...], device: torch.device | None = None, random: torch.Generator | None = None
) -> Tensor:
    """Unconstrained numbers (*shape, P): standard normal ones, and of angles, as inference has them, any turn."""

    def column(circular: bool) -> Tensor:
        if circular:
            return (torch.rand(shape, device=device, generator=random) - 0.5) * FULL_TURN
        return torch.randn(shape, device=device, generator=random)

    return torch.stack([column(coordinate.circular) for coordinate in space.coordinates], -1)


def what_from_prior(
    renderer: Renderer,
    shape: tuple[int, ...],
    device: torch.device | None = None,
    random: torch.Generator | None = None,
) -> Tensor:
    """Identities ``shape``, all alike, or codes (*shape, D)."""
    if isinstance(renderer.what, Gaussian):
        return torch.randn(*shape, renderer.what.dim, device=device, generator=random)
    return torch.randint(renderer.identity_count, shape, device=device, generator=random)


def images_from_prior(renderer: Renderer, count: int, objects: int, random: torch.Generator) -> Tensor:
    """Images (count, C, H, W) in [0, 1] of so many objects each, with poses and looks from their priors."""
    shape = (count, objects)
    where = renderer.where.constrain(unconstrained_from_prior(renderer.where, shape, random=random))
    what = what_from_prior(renderer, shape, random=random)
    with torch.no_grad():
        return renderer.render(what, renderer.where.clamp(where))[:, -1].clamp(0, 1)
