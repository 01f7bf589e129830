"""Lightning's `WeightAveraging` for modules whose buffers are not all numbers with a fraction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_swa_avg_fn

Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]


def keep_whole_numbers(callbacks: Iterable[Callback]) -> None:
    """Have the `WeightAveraging` among callbacks take buffers of whole numbers and of truth values as they are.

    It averages all buffers, but truth values cannot be subtracted, and of an average of whole numbers the fraction is
    cut off. An average over many tensors at once (`multi_avg_fn`) is the user's own, and left alone.
    """
    for callback in callbacks:
        if isinstance(callback, WeightAveraging) and callback._kwargs.get("multi_avg_fn") is None:
            average = callback._kwargs.get("avg_fn") or get_swa_avg_fn()  # type: ignore[no-untyped-call]
            callback._kwargs["avg_fn"] = _of_fractions(average)


def _of_fractions(average: Average) -> Average:
    def averaged(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        return average(mean, value, count) if mean.is_floating_point() else value

    return averaged
