"""The metric that follows what matched objects look like besides their identity: their size and colour."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from air_lightning.metrics.averages import median


class AttributeErrors(Metric):
    """Errors of matched objects' sizes and colours, where the model infers them and the truth has them.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ============= ====================================================================================
    `size_error`  median over matched objects of the gap between sizes, as a share of the true one
    `color_error` median over matched objects of the mean gap over their colours' channels, in [0, 1]
    ============= ====================================================================================

    Medians are exact, over all objects of all batches and processes, which are kept until `reset`.

    Args:
        has_size, has_color: which of them are measured.
        kwargs: for `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, has_size: bool, has_color: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(name for name, has in (("size_error", has_size), ("color_error", has_color)) if has)
        for name in self.names:
            self.add_state(name, [], "cat")

    def update(self, inferred: dict[str, Tensor], truth: dict[str, Tensor]) -> None:
        """Take in M matched objects: their ``size`` (M, 1) and ``color`` (M, 3); (M, 0) what is not measured."""
        gaps = {name: (inferred[name] - truth[name]).abs().detach().float() for name in inferred}
        errors = {"size_error": (gaps["size"] / truth["size"]).mean(1), "color_error": gaps["color"].mean(1)}
        for name in self.names:
            getattr(self, name).append(errors[name])

    def compute(self) -> dict[str, Tensor]:
        """The table above, of everything since the last `reset`, over all processes."""
        return {name: median(self._joined(name)) for name in self.names}

    def _joined(self, name: str) -> Tensor:
        errors = getattr(self, name)
        if isinstance(errors, list) and not errors:
            return torch.empty(0, device=self.device)
        return dim_zero_cat(errors)
