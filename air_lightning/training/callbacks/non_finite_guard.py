"""`NonFiniteGuard`: a loss or gradient that is not finite ends training before it reaches the weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from air_lightning.parallel import gather
from air_lightning.runs import CHECKPOINTS


class NonFiniteError(ArithmeticError):
    """The loss or a gradient is NaN or infinite; the message names the step and the culprits."""


class NonFiniteGuard(Callback):
    """Stops training at the first loss or gradient that is not finite, before the optimizer steps.

    The weights then are those of the last good step, and no checkpoint is written. The message names the
    terms of the loss: `training_step` must return a mapping with "loss" and "terms", the latter name ->
    detached tensor.

    Lightning shows callbacks the terms only after the optimizer has stepped. So the guard wraps
    `training_step` for the time of the fit. It looks once a step, after the gradients: on a GPU that is where
    the host waits for the step. Of several processes all stop, with one message, though one alone has met the
    culprit.
    """

    def __init__(self) -> None:
        self._outputs: list[Mapping[str, Any]] = []  # of training steps since the optimizer's last

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._outputs = []
            guarded = _noting(pl_module.training_step, self._outputs)
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
        # mixed float16: bad ones are expected, and the scaler skips the step
        looked_at = getattr(trainer.precision_plugin, "scaler", None) is None
        trained = chain.from_iterable(group["params"] for group in optimizer.param_groups if looked_at)
        gradients = [p.grad for p in trained if p.grad is not None]
        finite = [outputs["loss"].isfinite().all() for outputs in self._outputs]
        if gradients:
            finite.append(torch.nn.utils.get_total_norm(gradients).isfinite())
        fine = not finite or bool(torch.stack(finite).all())
        if not trainer.strategy.reduce_boolean_decision(fine):
            named = {name: p.grad for name, p in pl_module.named_parameters() if looked_at}
            raise NonFiniteError(_message(trainer, _culprits(self._outputs, named)))
        self._outputs.clear()


class Culprits(NamedTuple):
    """Names of what is not finite: terms of the loss, and parameters by their gradients."""

    terms: list[str]
    gradients: list[str]


def _noting(step: Callable[..., Any], outputs: list[Mapping[str, Any]]) -> Callable[..., Any]:
    @functools.wraps(step)  # Lightning looks through the wrapper at the signature
    def noting(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        outputs.append({"loss": result["loss"].detach(), "terms": result["terms"]})
        return result

    return noting


def _culprits(outputs: Iterable[Mapping[str, Any]], gradients: Mapping[str, torch.Tensor | None]) -> Culprits:
    """Those of all processes, each of which must call it."""
    terms: list[str] = []
    for output in outputs:
        if not torch.isfinite(output["loss"]).all():
            terms += _not_finite(output["terms"]) or ["their sum, though each is finite"]
    everywhere = gather(Culprits(terms, _not_finite(gradients)))
    return Culprits(*(list(dict.fromkeys(chain(*names))) for names in zip(*everywhere)))


def _not_finite(named: Mapping[str, torch.Tensor | None]) -> list[str]:
    return [name for name, tensor in named.items() if tensor is not None and not torch.isfinite(tensor).all()]


def _message(trainer: pl.Trainer, culprits: Culprits) -> str:
    if culprits.terms:
        what, names, remedy = "the loss", culprits.terms, "look at these terms or lower the learning rate"
    else:
        what, remedy = "the gradient", "lower the learning rate"
        names = culprits.gradients or ["their norm, though each is finite"]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if (Path(trainer.default_root_dir) / CHECKPOINTS / "last.ckpt").is_file():
        after = f"and last.ckpt is as before it: {remedy}, then --resume"
    else:
        after = f"and no checkpoint has been saved yet: {remedy}, and start again"
    return (
        f"{what} of step {trainer.global_step} (epoch {trainer.current_epoch}) is not finite in: {shown}. "
        f"The step was not applied {after}"
    )
