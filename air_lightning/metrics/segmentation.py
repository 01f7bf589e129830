"""How well inferred objects divide up the pixels of the true ones."""

import torch
from torch import Tensor

from renderers.compositing import Compositing, Layer, downsample, visible


def segments(layers: Layer, count: Tensor, rule: Compositing, height: int, threshold: float = 0.2) -> Tensor:
    """The slot that most of each pixel shows, (B, H, W): 1 for the first; 0 where none shows in more than `threshold`.

    Args:
        layers: of N slots (colour (B, N, C, S H, S W)), each drawn alone.
        count: (B,), slots that are present.
        rule: how they are composited. `zbuffer`: the nearest hides the others; `over`: later ones hide earlier ones
            as far as they cover; `additive`: none hides another, the brightest counts.
        height: H.
        threshold: share of a pixel; of additive layers, brightness.
    """
    slots = torch.arange(layers.depth.shape[1], device=count.device)
    shown = downsample(visible(layers, slots < count.unsqueeze(1), rule), height)
    share, best = shown.max(1)
    return torch.where(share > threshold, best + 1, 0)


def foreground_ari(pred_segments: Tensor, true_masks: Tensor) -> Tensor:
    """Adjusted Rand index over the pixels of true objects, (S,) of the S scenes that have any.

    1 where pixels are divided as the truth divides them, 0 on average for a random division (Hubert & Arabie 1985; on
    the foreground alone as in Greff et al. 2019). Also 1 where both sides have a single segment.

    Args:
        pred_segments: (B, H, W) long, any labels >= 0; all labels count, that of the background too.
        true_masks: (B, T, H, W) bool, the pixels of each true object.

    Raises:
        ValueError: shapes do not fit, or true objects share a pixel.
    """
    table = _shared(pred_segments, true_masks)
    return adjusted_rand_index(table[table.sum((1, 2)) > 0])


def all_pixels_ari(pred_segments: Tensor, true_masks: Tensor) -> Tensor:
    """Adjusted Rand index over all pixels, (B,): as ``foreground_ari``, the background being a segment, too.

    The outlines of objects count, then, and large backgrounds count most. Defined where there is no object, too.
    """
    background = ~true_masks.any(1, keepdim=True)
    return adjusted_rand_index(_shared(pred_segments, torch.cat([background, true_masks], 1)))


def _shared(pred_segments: Tensor, true_masks: Tensor) -> Tensor:
    """How many pixels each inferred segment has in common with each true one, (B, labels, T)."""
    batch, *size = pred_segments.shape
    if true_masks.dim() != 4 or (len(true_masks), *true_masks.shape[2:]) != (batch, *size):
        raise ValueError(
            f"true_masks must have shape (scenes, objects, height, width) to go with pred_segments "
            f"{tuple(pred_segments.shape)}, got {tuple(true_masks.shape)}"
        )
    if bool((true_masks.sum(1) > 1).any()):
        raise ValueError("true_masks must not overlap, got a pixel of two objects: give what one sees of each")
    labels = torch.arange(int(pred_segments.max()) + 1 if pred_segments.numel() else 0, device=pred_segments.device)
    guess = (pred_segments.flatten(1).unsqueeze(1) == labels[:, None]).float()
    return guess @ true_masks.flatten(2).float().transpose(1, 2)


def adjusted_rand_index(table: Tensor) -> Tensor:
    """Of contingency tables (S, labels of one side, labels of the other), each (S,), at most 1.

    1 where both sides are trivial, all in one segment or each item in its own (where the formula is 0 / 0).
    """
    # to the CPU before float64, which some accelerators lack
    counts = table.cpu().double()
    together, rows, columns, every = (
        _pairs(part).sum(-1) for part in (counts.flatten(1), counts.sum(2), counts.sum(1), counts.sum((1, 2))[:, None])
    )
    # divided first, so that a trivial side gives exactly 1 or 0
    expected, most = rows * (columns / every.clamp_min(1)), (rows + columns) / 2
    trivial = most == expected
    index = (together - expected) / torch.where(trivial, 1.0, most - expected)
    return torch.where(trivial, 1.0, index).float().to(table.device)


def _pairs(number: Tensor) -> Tensor:
    """How many pairs there are among so many."""
    return number * (number - 1) / 2
