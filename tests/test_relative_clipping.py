"""Relative clipping: gradients much larger than a tensor's usual ones are scaled down before Adam sees them."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from renderers_for_tests import Bumps, BumpScenes
from torch import Tensor, nn

from air_lightning.model import AIRModule
from air_lightning.model.relative_clipping import clip_to_usual

DECAY, RATE = 0.999, 1e-3
CALM = [0.01 * (-1) ** step * torch.ones(2, 3) for step in range(99)]
"""Gradients that are small for long."""


def after(*gradients: Tensor) -> tuple[nn.Parameter, torch.optim.Adam]:
    """A tensor that has had these gradients but the last, which its optimizer is still to take."""
    tensor = nn.Parameter(torch.zeros(2, 3))
    optimizer = torch.optim.Adam([tensor], lr=RATE, betas=(0.9, DECAY))
    for gradient in gradients[:-1]:
        tensor.grad = gradient.clone()
        optimizer.step()
    tensor.grad = gradients[-1].clone()
    return tensor, optimizer


def usual(*gradients: Tensor) -> Tensor:
    """The root of the mean squared norm, of which the last counts most."""
    weights = DECAY ** torch.arange(len(gradients) - 1, -1, -1.0)
    squares = torch.stack([gradient.square().sum() for gradient in gradients])
    return ((weights * squares).sum() / weights.sum()).sqrt()


@pytest.mark.parametrize("largest", [1.5, 3.0])
def test_large_gradients_keep_their_direction_and_no_more_than_a_multiple_of_the_usual_norm(largest: float) -> None:
    torch.manual_seed(0)
    before, last = [torch.randn(2, 3) for _ in range(10)], 100 * torch.randn(2, 3)
    tensor, optimizer = after(*before, last)
    clip_to_usual(optimizer, largest)
    torch.testing.assert_close(tensor.grad, last * largest * usual(*before) / last.norm(), rtol=1e-4, atol=0)


def test_each_tensor_has_its_own_limit_and_usual_ones_stay_as_they_are() -> None:
    torch.manual_seed(0)
    steady, calm = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([{"params": [steady]}, {"params": [calm]}])
    for size in (0.01, 0.01, 0.01, 1.0):
        steady.grad, calm.grad = 1 + 0.1 * torch.rand(4), torch.full((4,), size)
        given = steady.grad.clone(), calm.grad.clone()
        clip_to_usual(optimizer, 2.0)
        changed = [not torch.equal(one.grad, was) for one, was in zip((steady, calm), given)]  # type: ignore[arg-type]
        assert changed == [False, size == 1.0]
        optimizer.step()


def test_steps_after_a_calm_are_not_many_times_the_learning_rate() -> None:
    farthest = {}
    for clipped in (False, True):
        tensor, optimizer = after(*CALM, torch.ones(2, 3))
        start = tensor.detach().clone()
        for _ in range(3):
            if clipped:
                clip_to_usual(optimizer, 2.0)
            optimizer.step()
            tensor.grad = torch.ones(2, 3)
        farthest[clipped] = float((tensor.detach() - start).abs().max()) / RATE
    assert farthest[False] > 3.5 and farthest[True] < 1.5


NOTHING = {
    "the first": [torch.full((2, 3), 1e6)],
    "the first that is not zero": [torch.zeros(2, 3), torch.ones(2, 3)],
    "none ever": [torch.zeros(2, 3), torch.zeros(2, 3)],
}


@pytest.mark.parametrize("gradients", NOTHING.values(), ids=NOTHING)
def test_what_has_nothing_to_be_compared_with_stays_as_it_is(gradients: list[Tensor]) -> None:
    tensor, optimizer = after(*gradients)
    clip_to_usual(optimizer, 2.0)
    assert tensor.grad is not None and torch.equal(tensor.grad, gradients[-1])


class Steps(pl.Callback):
    """Norms of all gradients as the optimizer gets them, the second far larger than the first."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        for parameter in pl_module.parameters():
            assert parameter.grad is not None
            parameter.grad.fill_(1.0 if trainer.global_step else 1e-5)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        gradients = [parameter.grad.flatten() for parameter in pl_module.parameters() if parameter.grad is not None]
        self.norms.append(float(torch.cat(gradients).norm()))


@pytest.mark.parametrize("relative, expected", [(None, 1.0), (3.0, 3e-5)])
def test_a_module_clips_behind_the_trainers_own_limit(relative: float | None, expected: float) -> None:
    """Of all gradients that is a norm of 1, of which relative clipping leaves three times the first step's."""
    module, steps = AIRModule(Bumps(16), relative_clip=relative), Steps()
    size = sum(parameter.numel() for parameter in module.parameters())
    pl.Trainer(
        accelerator="cpu", max_steps=2, gradient_clip_val=1.0, callbacks=[steps], logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(module, datamodule=BumpScenes(module.renderer))  # fmt: skip
    assert steps.norms == pytest.approx(
        [1e-5 * size**0.5, expected if relative is None else expected * size**0.5], rel=1e-3
    )


@pytest.mark.parametrize("clip", [1.0, 0.0, -2.0])
def test_what_would_clip_usual_gradients_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match=f"relative_clip must be greater than 1, got {clip}: 2 is usual"):
        AIRModule(Bumps(16), relative_clip=clip)
