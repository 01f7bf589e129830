"""The mean of a figure over scenes, medians and quantiles of all there are, and rows that are kept."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class SceneMean(Metric):
    """Mean over the scenes of all batches and processes, however many each has; nan where a scene's figure is nan.

    (Lightning's `self.log(..., sync_dist=True)` divides by a whole number of scenes a process, and is off where these
    are not equally many; torchmetrics' MeanMetric leaves nan out.)

    Args:
        kwargs: for `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    total: Tensor
    scenes: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(()), "sum")
        self.add_state("scenes", torch.zeros((), dtype=torch.long), "sum")

    def update(self, values: Tensor) -> None:
        """Take in one batch: (B,), a figure of each scene."""
        # never in place, as in SceneMetrics
        self.total = self.total + values.detach().float().sum()
        self.scenes = self.scenes + len(values)

    def compute(self) -> Tensor:
        """The mean since the last `reset`; nan of no scenes."""
        return self.total / self.scenes


class MeanByCount(Metric):
    """As ``SceneMean``, and the mean over the scenes of each number of objects.

    Args:
        largest: T, the most objects a scene may hold.
        kwargs: for `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    total: Tensor
    scenes: Tensor

    def __init__(self, largest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(largest + 1), "sum")
        self.add_state("scenes", torch.zeros(largest + 1, dtype=torch.long), "sum")

    def update(self, values: Tensor, count: Tensor) -> None:
        """Take in one batch: (B,), a figure of each scene, and (B,) long, its number of objects."""
        # never in place, as in SceneMetrics
        self.total = self.total.index_add(0, count, values.detach().float())
        self.scenes = self.scenes + torch.bincount(count, minlength=len(self.scenes))

    def compute(self) -> Tensor:
        """The mean over all scenes since the last `reset`; nan of no scenes."""
        return self.total.sum() / self.scenes.sum()

    def by_count(self) -> Tensor:
        """(T + 1,), the mean of the scenes with 0, 1, ... T objects; nan of no scenes.

        Like `compute`, of all processes, so all of them must call it.
        """
        with synced(self):
            return self.total / self.scenes


class MedianErrors(Metric):
    """The exact medians of errors that a subclass takes in, over all batches and processes; all are kept until `reset`.

    `compute` returns a scalar float tensor for each name, nan where there was nothing to measure.

    Args:
        names: of the errors. A subclass appends (n,) errors to the list state of each.
        kwargs: for `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(names)
        for name in self.names:
            self.add_state(name, [], "cat")

    def compute(self) -> dict[str, Tensor]:
        """The medians of everything since the last `reset`, over all processes."""
        return {name: median(joined(getattr(self, name), self.device)) for name in self.names}


class _Kept(Metric):
    """Keeps what it is given of all batches and processes, until `reset`."""

    full_state_update = False
    is_differentiable = False

    values: list[Tensor] | Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", [], "cat")

    def update(self, values: Tensor) -> None:
        """Take in one batch: (B, ...)."""
        assert isinstance(self.values, list)
        self.values.append(values.detach().float())

    @property
    def kept(self) -> Tensor:
        """All since the last `reset`, within `compute` of all processes."""
        return joined(self.values, self.device)


class SceneQuantile(_Kept):
    """What a share of the scenes of all batches and processes have at most; (B,), a figure of each, in a batch.

    Args:
        share: of the scenes, in (0, 1].
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share}: 0.99, for example")
        self.share = share

    def compute(self) -> Tensor:
        """The least figure since the last `reset` that so many scenes do not exceed; nan of no scenes."""
        values = self.kept
        if not len(values):
            return values.new_full((), float("nan"))
        return values.sort().values[math.ceil(self.share * len(values)) - 1]


class Rows(_Kept):
    """Rows (M, D) of all batches and processes, as many as each has.

    Args:
        width: D.
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width

    def compute(self) -> Tensor:
        """All rows since the last `reset`, (M, D)."""
        return self.kept.view(-1, self.width)


def synced(metric: Metric) -> AbstractContextManager[None]:
    """Within it a metric's states are those of all processes, as within its `compute`."""
    return metric.sync_context(
        dist_sync_fn=metric.dist_sync_fn, should_sync=metric._to_sync, should_unsync=metric._should_unsync
    )


def joined(errors: list[Tensor] | Tensor, device: torch.device) -> Tensor:
    """(n,) all errors of a list state; after a sync over processes it is one tensor already."""
    if isinstance(errors, list) and not errors:
        return torch.empty(0, device=device)
    return dim_zero_cat(errors)


def median(values: Tensor) -> Tensor:
    """Median of (n,) values, the mean of the middle two where n is even; nan where n is 0.

    `torch.median` takes the lower of the two, and `torch.quantile` refuses more than 16 million values.
    """
    if values.numel() == 0:
        return values.new_full((), float("nan"))
    ordered = values.sort().values
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2
