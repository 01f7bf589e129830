"""The metric that follows what matched objects look like besides their identity: size, colour and metal."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from air_lightning.metrics.averages import MedianErrors, joined

NAMED, METAL = "color_accuracy", "metal_accuracy"


class AttributeErrors(MedianErrors):
    """Errors of matched objects' sizes, colours and metal, where the model infers them and the truth has them.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ================ ====================================================================================
    `size_error`     median over matched objects of the gap between sizes, as a share of the true one
    `color_error`    median over matched objects of the mean gap over their colours' channels, in [0, 1]
    `metal_error`    median over matched objects of the gap between what shares of them are metal
    `metal_accuracy` share of matched objects of which these are on the same side of one half
    ================ ====================================================================================

    With a palette there is `color_accuracy`, too: the share of matched objects whose inferred colour is nearer to the
    true one than to any other in it.

    Args:
        has_size, has_color: which of them are measured.
        palette: all the colours that objects may have, RGB in [0, 1]; empty: any.
        has_metal: whether metal is measured.
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(
        self,
        has_size: bool,
        has_color: bool,
        palette: Sequence[tuple[float, ...]] = (),
        has_metal: bool = False,
        **kwargs: Any,
    ) -> None:
        measured = {"size_error": has_size, "color_error": has_color, NAMED: has_color and bool(palette)}
        measured |= {"metal_error": has_metal, METAL: has_metal}
        super().__init__([name for name, has in measured.items() if has], **kwargs)
        self.palette = tuple(palette)

    def compute(self) -> dict[str, Tensor]:
        errors = super().compute()
        for name in {NAMED, METAL} & set(self.names):
            right = joined(getattr(self, name), self.device)
            errors[name] = right.mean() if len(right) else errors[name]
        return errors

    def update(self, inferred: dict[str, Tensor], truth: dict[str, Tensor]) -> None:
        """Take in M matched objects: ``size``, ``metal`` (M, 1), ``color`` (M, 3); (M, 0) what is not measured."""
        gaps = {name: (inferred[name] - truth[name]).abs().detach().float() for name in inferred}
        errors = {"size_error": (gaps["size"] / truth["size"]).mean(1), "color_error": gaps["color"].mean(1)}
        if METAL in self.names:
            right = (inferred["metal"] > 0.5) == (truth["metal"] > 0.5)
            errors |= {"metal_error": gaps["metal"].mean(1), METAL: right.float().mean(1)}
        if NAMED in self.names:
            names = (self._nearest(part["color"]) for part in (inferred, truth))
            errors[NAMED] = torch.eq(*names).float()
        for name in self.names:
            getattr(self, name).append(errors[name])

    def _nearest(self, colors: Tensor) -> Tensor:
        """Numbers (M,), in the palette, of the colours that are nearest to those (M, 3)."""
        return torch.cdist(colors.detach().float(), torch.tensor(self.palette, device=colors.device)).argmin(1)
