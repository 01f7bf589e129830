"""Layers to prefix canvases: canvas n shows the background and the first n slots."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Compositing = Literal["zbuffer", "additive"]


class Layer(NamedTuple):
    """Single objects drawn alone.

    Attributes:
        color: (..., C, H, W) in [0, 1]; zero where the object is not.
        depth: (..., H, W) distance along the optical axis, infinite where the object is not. Additive
            compositing does not look at it.
    """

    color: Tensor
    depth: Tensor


def compose(layers: Layer, background: Tensor, rule: Compositing) -> Tensor:
    """Prefix canvases (..., N + 1, C, H, W) of N layers (colour (..., N, C, H, W)) over ``background`` (C, H, W).

    ``additive``: background plus the sum of the layers (a prefix sum). ``zbuffer``: each pixel shows the nearest of
    the layers so far (a prefix z-buffer; of equals the earlier).
    """
    color, depth = layers
    start = background.expand(*color.shape[:-4], *background.shape)
    if rule == "additive":
        return torch.cat([start.unsqueeze(-4), start.unsqueeze(-4) + color.cumsum(-4)], -4)
    canvases, nearest = [start], depth.new_full((*depth.shape[:-3], *depth.shape[-2:]), torch.inf)
    for n in range(color.shape[-4]):
        closer = depth[..., n, :, :] < nearest
        nearest = torch.where(closer, depth[..., n, :, :], nearest)
        canvases.append(torch.where(closer.unsqueeze(-3), color[..., n, :, :, :], canvases[-1]))
    return torch.stack(canvases, -4)


def downsample(canvases: Tensor, height: int) -> Tensor:
    """(..., C, S H, S W) to (..., C, H, W): the mean over S x S samples; unchanged where S is 1."""
    factor = canvases.shape[-2] // height
    if factor == 1:
        return canvases
    lead = canvases.shape[:-3]
    return F.avg_pool2d(canvases.flatten(0, -4), factor).view(*lead, -1, height, canvases.shape[-1] // factor)
