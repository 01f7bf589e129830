"""How often the number of objects is right."""

from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.metrics.objects import check_count


class CountRates(NamedTuple):
    """Shares of scenes whose count is right, too large, too small: scalars of sum 1, or nan of no scenes."""

    accuracy: Tensor
    over: Tensor
    under: Tensor


def count_confusion(inferred: Tensor, true: Tensor, slots: int, true_slots: int) -> Tensor:
    """Count the scenes of every (true count, inferred count).

    Args:
        inferred: (B,) long, inferred counts in 0 .. slots.
        true: (B,) long, true counts in 0 .. true_slots.
        slots: N.
        true_slots: T.

    Returns:
        (T + 1, N + 1) long; row = true count, column = inferred count.

    Raises:
        ValueError: shapes differ, or a count is out of range.
    """
    if inferred.ndim != 1 or inferred.shape != true.shape:
        raise ValueError(
            f"inferred and true counts must both have shape (scenes,), got {tuple(inferred.shape)} and "
            f"{tuple(true.shape)}: pass one count for each scene"
        )
    check_count("inferred count", inferred, slots)
    check_count("true count", true, true_slots)
    cell = true.long() * (slots + 1) + inferred.long()
    return torch.bincount(cell, minlength=(true_slots + 1) * (slots + 1)).reshape(true_slots + 1, slots + 1)


def count_rates(confusion: Tensor) -> CountRates:
    """Reduce a count confusion matrix, (T + 1, N + 1) with true counts in rows, to shares of its scenes."""
    total = confusion.sum()
    # above the diagonal the column (inferred) exceeds the row (true)
    above, below = torch.triu(confusion, 1).sum(), torch.tril(confusion, -1).sum()
    return CountRates(torch.diagonal(confusion).sum() / total, above / total, below / total)


def rates_by_count(confusion: Tensor) -> dict[str, Tensor]:
    """For each true count of a count confusion matrix (T + 1, N + 1): `count_accuracy` and `inferred_count`, its mean.

    Each (T + 1,); nan without scenes.
    """
    scenes = confusion.sum(1)
    right = confusion.new_zeros(len(scenes))
    diagonal = confusion.diagonal()
    right[: len(diagonal)] = diagonal
    inferred = (confusion * torch.arange(confusion.shape[1], device=confusion.device)).sum(1)
    return {"count_accuracy": right / scenes, "inferred_count": inferred / scenes}
