"""Layers to prefix canvases: canvas n shows the background and the first n slots."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Compositing = Literal["zbuffer", "additive", "over"]

SHOWN: dict[Compositing, float] = {"zbuffer": 0.5, "over": 0.5, "additive": 0.2}
"""How much of a pixel an object covers where it is taken to be; of additive layers, of its own peak."""

NOTHING = 1e-6
"""A peak that is rounding and no object: real values have six digits."""


class Layer(NamedTuple):
    """Single objects drawn alone.

    Attributes:
        color: (..., C, H, W) in [0, 1]; zero where the object is not.
        depth: (..., H, W) distance along the optical axis, infinite where the object is not. Only the z-buffer
            looks at it.
        alpha: (..., H, W), the share of each pixel that the object covers, by which its colour is already multiplied.
            Only ``over`` looks at it, and needs it.
        shade: (..., H, W), the share in [0, 1] of the background's light that the object lets through, a shadow where
            it is below 1. It darkens the background alone, in front of which every object stands. None: 1.
    """

    color: Tensor
    depth: Tensor
    alpha: Tensor | None = None
    shade: Tensor | None = None


def each(change: Callable[..., Tensor], *layers: Layer) -> Layer:
    """``change`` applied to the colours, to the depths, and to the alphas and shades where there are any."""
    parts = [None if columns[0] is None else change(*columns) for columns in zip(*layers)]
    return Layer(*parts)  # type: ignore[arg-type]  # colour and depth are never None


def blank(like: Layer) -> Layer:
    """Layers of the same shape on which there is no object."""
    alpha = None if like.alpha is None else torch.zeros_like(like.alpha)
    shade = None if like.shade is None else torch.ones_like(like.shade)
    return Layer(torch.zeros_like(like.color), torch.full_like(like.depth, torch.inf), alpha, shade)


def compose(layers: Layer, background: Tensor, rule: Compositing) -> Tensor:
    """Prefix canvases (..., N + 1, C, H, W) of N layers (colour (..., N, C, H, W)) over ``background``.

    That is (C, H, W), one for all, or (..., C, H, W), as it broadcasts.

    ``additive``: background plus the sum of the layers (a prefix sum). ``zbuffer``: each pixel shows the nearest of
    the layers so far (a prefix z-buffer; of equals the earlier). ``over``: each layer lies over those before it and
    lets through what it does not cover (Porter & Duff 1984). Shades multiply what is seen of the background, each from
    its own slot's canvas on.
    """
    if layers.shade is not None:
        front = compose(layers._replace(shade=None), torch.zeros_like(background), rule)
        return front + transmittance(layers, rule).unsqueeze(-3) * background.unsqueeze(-4)
    color, depth, alpha, _ = layers
    canvas, nearest = background.expand(*color.shape[:-4], *color.shape[-3:]), None
    canvases = [canvas]
    # unbound: what is indexed has a gradient of the whole's size each
    shares = [None] * color.shape[-4] if alpha is None else alpha.unbind(-3)
    for layer in zip(color.unbind(-4), depth.unbind(-3), shares):
        canvas, nearest = laid(canvas, nearest, Layer(*layer), rule)
        canvases.append(canvas)
    return torch.stack(canvases, -4)


def laid(canvas: Tensor, nearest: Tensor | None, layer: Layer, rule: Compositing) -> tuple[Tensor, Tensor | None]:
    """One layer more upon a canvas (..., C, H, W): the canvas then, and the depth (..., H, W) of what it shows.

    Args:
        nearest: the depth of what the canvas shows; None: of nothing, or a rule that does not look at it.
        layer: its shade is left out.
    Errors:
        ValueError for ``over`` and a layer without alpha.
    """
    if rule == "additive":
        return canvas + layer.color, None
    if rule == "over":
        if layer.alpha is None:
            raise ValueError("compositing `over` needs layers with alpha, got None: give Layer(color, depth, alpha)")
        return layer.color + (1 - layer.alpha.unsqueeze(-3)) * canvas, None
    nearest = torch.full_like(layer.depth, torch.inf) if nearest is None else nearest
    closer, nearest = (layer.depth < nearest).unsqueeze(-3), torch.fmin(nearest, layer.depth)  # nan is nowhere
    kind = torch.result_type(canvas, layer.color)
    # of weights 0 and 1 exact, and faster than torch.where
    return torch.lerp(canvas.to(kind), layer.color.to(kind), closer.to(kind)), nearest


def transmittance(layers: Layer, rule: Compositing) -> Tensor:
    """The share (..., N + 1, H, W) of the background that is seen in each prefix canvas of N layers.

    What nothing covers, times the shades: each canvas is linear in the background, and this is its slope.
    """
    if layers.shade is not None:
        return transmittance(layers._replace(shade=None), rule) * _since(layers.shade.cumprod(-3))
    if rule == "zbuffer":
        return _since(layers.depth.cummin(-3).values.isinf().to(layers.color))
    if rule == "over" and layers.alpha is not None:
        return _since((1 - layers.alpha).cumprod(-3))
    return _since(torch.ones_like(layers.depth).to(layers.color))


def _since(products: Tensor) -> Tensor:
    """Prefix products (..., N, H, W) with 1 before the first."""
    return torch.cat([products.new_ones(*products.shape[:-3], 1, *products.shape[-2:]), products], -3)


def coverage(layers: Layer, rule: Compositing) -> Tensor:
    """How much of each pixel shows the object, (..., H, W), not negative.

    Its alpha, or whether its depth is finite, both in [0, 1]; of additive layers, which have neither, the brightest
    channel, which is more than 1 where the object is brighter than white.
    """
    if rule == "zbuffer":
        return layers.depth.isfinite().to(layers.color)
    if rule == "over" and layers.alpha is not None:
        return layers.alpha
    return layers.color.amax(-3).clamp_min(0)


def visible(layers: Layer, present: Tensor, rule: Compositing) -> Tensor:
    """How much of each sample shows each slot, (B, N, S H, S W), where only those ``present`` (B, N) are drawn.

    ``zbuffer``: the nearest hides the others; ``over``: later ones hide earlier ones as far as they cover;
    ``additive``: none hides another, the brightest counts.
    """
    there = present[:, :, None, None]
    shown = coverage(layers, rule) * there
    if rule == "zbuffer":
        nearest = torch.where(there, layers.depth, torch.inf).argmin(1, keepdim=True)
        return torch.zeros_like(shown).scatter(1, nearest, shown.gather(1, nearest))
    if rule == "over":
        through = torch.cat([torch.ones_like(shown[:, :1]), 1 - shown.flip(1)[:, :-1]], 1).cumprod(1).flip(1)
        return shown * through
    return shown


def masks(layers: Layer, present: Tensor, rule: Compositing, height: int) -> Tensor:
    """The pixels (B, N, H, W), bool, in which each of the slots that are ``present`` (B, N) is what one sees.

    It covers half of the pixel at least, and no other slot shows more of itself there. Of additive layers, which cover
    nothing, it is as bright there as a fifth of its own peak at least.
    """
    shown = downsample(visible(layers, present, rule), height)
    least = SHOWN[rule] * (shown.amax((-2, -1), keepdim=True) if rule == "additive" else 1.0)
    first = torch.zeros_like(shown, dtype=torch.bool).scatter(1, shown.argmax(1, keepdim=True), True)
    return first & (shown >= least) & (shown > 0)


def shown_depth(layers: Layer, present: Tensor, rule: Compositing, height: int) -> Tensor:
    """The least distance along the optical axis, in each pixel (B, H, W), of the slot that most of it shows.

    Of the slots that are ``present`` (B, N); infinite where none shows.
    """
    shown = downsample(visible(layers, present, rule), height)
    depth = torch.where(present[:, :, None, None], layers.depth, torch.inf)
    nearest = -F.max_pool2d(-depth, depth.shape[-2] // height)
    return nearest.gather(1, shown.argmax(1, keepdim=True)).squeeze(1)


def boxes(layers: Layer, rule: Compositing, share: float | None = None) -> Tensor:
    """Boxes (..., 4), in samples, of single objects: where each covers more than a share of what it covers most.

    ``share``: None: as ``SHOWN`` says. Zeros where nothing is drawn.
    """
    if rule == "zbuffer":  # which covers all of a sample, or nothing
        return extents(layers.depth < torch.inf)
    covered = coverage(layers, rule)
    peak = covered.amax((-2, -1), keepdim=True)
    return extents((covered > (SHOWN[rule] if share is None else share) * peak) & (peak > NOTHING))


def extents(shown: Tensor) -> Tensor:
    """Boxes (..., 4) of pixels ``shown`` (..., H, W) bool: x0, y0, x1, y1, ends excluded; zeros for none."""
    numbers = shown.to(torch.uint8)  # of which the largest is found in half the time that `any` takes
    sides = []
    for axis in (-2, -1):  # columns, then rows
        line = numbers.amax(axis)
        first = line.argmax(-1)
        last = line.shape[-1] - line.flip(-1).argmax(-1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    box = torch.stack([x0, y0, x1, y1], -1)
    return (box * line.any(-1, keepdim=True)).float()


def downsample(canvases: Tensor, height: int) -> Tensor:
    """(..., C, S H, S W) to (..., C, H, W): the mean over S x S samples; unchanged where S is 1."""
    factor = canvases.shape[-2] // height
    if factor == 1:
        return canvases
    lead = canvases.shape[:-3]
    return F.avg_pool2d(canvases.flatten(0, -4), factor).view(*lead, -1, height, canvases.shape[-1] // factor)
