"""The metric that follows what matched objects look like besides their identity: their size and colour."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from air_lightning.metrics.averages import MedianErrors, joined

NAMED = "color_accuracy"


class AttributeErrors(MedianErrors):
    """Errors of matched objects' sizes and colours, where the model infers them and the truth has them.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ============= ====================================================================================
    `size_error`  median over matched objects of the gap between sizes, as a share of the true one
    `color_error` median over matched objects of the mean gap over their colours' channels, in [0, 1]
    ============= ====================================================================================

    With a palette there is `color_accuracy`, too: the share of matched objects whose inferred colour is nearer to the
    true one than to any other in it.

    Args:
        has_size, has_color: which of them are measured.
        palette: all the colours that objects may have, RGB in [0, 1]; empty: any.
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(
        self, has_size: bool, has_color: bool, palette: Sequence[tuple[float, ...]] = (), **kwargs: Any
    ) -> None:
        measured = {"size_error": has_size, "color_error": has_color, NAMED: has_color and bool(palette)}
        super().__init__([name for name, has in measured.items() if has], **kwargs)
        self.palette = tuple(palette)

    def compute(self) -> dict[str, Tensor]:
        errors = super().compute()
        if NAMED in self.names:
            right = joined(getattr(self, NAMED), self.device)
            errors[NAMED] = right.mean() if len(right) else errors[NAMED]
        return errors

    def update(self, inferred: dict[str, Tensor], truth: dict[str, Tensor]) -> None:
        """Take in M matched objects: their ``size`` (M, 1) and ``color`` (M, 3); (M, 0) what is not measured."""
        gaps = {name: (inferred[name] - truth[name]).abs().detach().float() for name in inferred}
        errors = {"size_error": (gaps["size"] / truth["size"]).mean(1), "color_error": gaps["color"].mean(1)}
        if NAMED in self.names:
            names = (self._nearest(part["color"]) for part in (inferred, truth))
            errors[NAMED] = torch.eq(*names).float()
        for name in self.names:
            getattr(self, name).append(errors[name])

    def _nearest(self, colors: Tensor) -> Tensor:
        """Numbers (M,), in the palette, of the colours that are nearest to those (M, 3)."""
        return torch.cdist(colors.detach().float(), torch.tensor(self.palette, device=colors.device)).argmin(1)
