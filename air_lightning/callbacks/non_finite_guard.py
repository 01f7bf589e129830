"""`NonFiniteGuard`: a loss or gradient that is not finite ends training before it reaches the weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback


class NonFiniteError(ArithmeticError):
    """The loss or a gradient is NaN or infinite; the message names the step and the culprits."""


class NonFiniteGuard(Callback):
    """Stops training at the first loss or gradient that is not finite, before the optimizer steps.

    The weights then are those of the last good step, and no checkpoint is written. The message names the
    terms of the loss: `training_step` must return a mapping with "loss" and "terms", the latter name ->
    detached tensor.

    Lightning shows callbacks the terms only after the optimizer has stepped. So the guard wraps
    `training_step`
    for the time of the fit. It costs two reductions, and on a GPU two synchronisations, a step.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            guarded = _guarded(pl_module.training_step, trainer)
            pl_module.training_step = guarded  # type: ignore[method-assign]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.__dict__.pop("training_step", None)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Lightning tears nothing down after an exception."""
        pl_module.__dict__.pop("training_step", None)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Gradients may be NaN where the loss is not: at the square root of 0, for one."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # mixed float16: such gradients are expected, and the scaler skips the step
        gradients = {n: p.grad for n, p in pl_module.named_parameters() if p.grad is not None}
        if gradients and not torch.nn.utils.get_total_norm(gradients.values()).isfinite():
            bad = _not_finite(gradients) or ["their norm, though each is finite"]
            raise NonFiniteError(_message(trainer, "the gradient", bad, "lower the learning rate"))


def _guarded(step: Callable[..., Any], trainer: pl.Trainer) -> Callable[..., Any]:
    @functools.wraps(step)  # Lightning looks through the wrapper at the signature
    def guarded(*args: Any, **kwargs: Any) -> Any:
        outputs = step(*args, **kwargs)
        if not torch.isfinite(outputs["loss"]).all():
            bad = _not_finite(outputs["terms"]) or ["their sum, though each is finite"]
            raise NonFiniteError(_message(trainer, "the loss", bad, "look at these terms or lower the learning rate"))
        return outputs

    return guarded


def _not_finite(named: Mapping[str, torch.Tensor | None]) -> list[str]:
    return [name for name, tensor in named.items() if tensor is not None and not torch.isfinite(tensor).all()]


def _message(trainer: pl.Trainer, what: str, names: list[str], remedy: str) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"{what} of step {trainer.global_step} (epoch {trainer.current_epoch}) is not finite in: {shown}. "
        f"The step was not applied and last.ckpt is as before it: {remedy}, then --resume"
    )
