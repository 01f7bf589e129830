"""How well inferred objects divide up the pixels of the true ones."""

import torch
from torch import Tensor

from renderers.compositing import Compositing, Layer, coverage


def segments(layers: Layer, count: Tensor, rule: Compositing, threshold: float = 0.2) -> Tensor:
    """The slot that each pixel shows, (B, H, W): 1 for the first; 0 where none covers it by more than ``threshold``.

    Args:
        layers: of N slots (colour (B, N, C, H, W)), each drawn alone. count: (B,), slots that are present.
        rule: how they are composited. ``zbuffer``: the nearest; ``over``: the last; ``additive``: the brightest.
    """
    shown = coverage(layers, rule)
    slots = torch.arange(shown.shape[1], device=shown.device)
    present = (slots < count.unsqueeze(1))[:, :, None, None] & (shown > threshold)
    if rule == "zbuffer":
        rank = -layers.depth
    elif rule == "over":
        rank = slots[:, None, None].expand_as(shown).to(shown)
    else:
        rank = shown
    best = torch.where(present, rank, -torch.inf).argmax(1)
    return torch.where(present.any(1), best + 1, 0)


def foreground_ari(found: Tensor, masks: Tensor) -> Tensor:
    """Adjusted Rand index over the pixels of true objects, (S,) of the S scenes that have any.

    1 where pixels are divided as the truth divides them, 0 on average for a random division (Hubert & Arabie 1985; on
    the foreground as in Greff et al. 2019).

    Args:
        found: (B, H, W), any label for each pixel. masks: (B, T, H, W) bool, the pixels of each true object.
    """
    scores = []
    for labels, objects in zip(found, masks):
        seen = objects.any(0)
        if seen.any():
            truth, guess = objects.to(torch.uint8).argmax(0)[seen], labels[seen]
            scores.append(adjusted_rand_index(guess, truth))
    return torch.stack(scores) if scores else torch.zeros(0, device=found.device)


def adjusted_rand_index(guess: Tensor, truth: Tensor) -> Tensor:
    """Of two labellings (n,) with labels >= 0: a scalar, at most 1; 1 where both have a single label."""
    columns = int(truth.max()) + 1
    table = (
        torch.bincount(guess * columns + truth, minlength=(int(guess.max()) + 1) * columns).view(-1, columns).double()
    )
    together, rows, across, every = (_pairs(part).sum() for part in (table, table.sum(1), table.sum(0), table.sum()))
    expected, most = rows * across / every.clamp_min(1), (rows + across) / 2
    return torch.where(most == expected, 1.0, (together - expected) / (most - expected)).float()


def _pairs(number: Tensor) -> Tensor:
    return number * (number - 1) / 2
