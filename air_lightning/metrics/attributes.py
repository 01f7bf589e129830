"""The metric that follows what matched objects look like besides their identity: their size and colour."""

from typing import Any

from torch import Tensor

from air_lightning.metrics.averages import MedianErrors


class AttributeErrors(MedianErrors):
    """Errors of matched objects' sizes and colours, where the model infers them and the truth has them.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ============= ====================================================================================
    `size_error`  median over matched objects of the gap between sizes, as a share of the true one
    `color_error` median over matched objects of the mean gap over their colours' channels, in [0, 1]
    ============= ====================================================================================

    Args:
        has_size, has_color: which of them are measured.
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(self, has_size: bool, has_color: bool, **kwargs: Any) -> None:
        measured = {"size_error": has_size, "color_error": has_color}
        super().__init__([name for name, has in measured.items() if has], **kwargs)

    def update(self, inferred: dict[str, Tensor], truth: dict[str, Tensor]) -> None:
        """Take in M matched objects: their ``size`` (M, 1) and ``color`` (M, 3); (M, 0) what is not measured."""
        gaps = {name: (inferred[name] - truth[name]).abs().detach().float() for name in inferred}
        errors = {"size_error": (gaps["size"] / truth["size"]).mean(1), "color_error": gaps["color"].mean(1)}
        for name in self.names:
            getattr(self, name).append(errors[name])
