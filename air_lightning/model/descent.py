"""Descent: each slot fitted to what is left of the image, before the next one is looked for."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from air_lightning.inference import InferenceNetwork
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, infer
from renderers.base import Renderer
from renderers.constants import pick
from renderers.pixel_loss import PixelLoss
from renderers.spaces import Gaussian

FIRST, SECOND = 0.8, 0.95
"""How much of their means over the steps before the gradient and its square keep at each step (Adam's betas)."""
POSE = 0.3
"""A pose's step, of a code's: it moves the whole glimpse."""


class Descent:
    """Gradient steps on the mean of each slot's pose and code, at the canvas so far, before the network looks on.

    What the network reads off noise, or of an unusual object, fits worse than it could, and what is left draws a slot
    that patches it. Semi-amortised inference (Kim et al. 2018; Marino, Yue & Mandt 2018), object by object: the next
    slot, and its presence, see what a good fit has left. Posterior sds stay the network's.

    The steps are Adam's, on ``-log p(x | canvas)`` and the KL to the prior, image by image, and shrink to nothing; a
    slot that ends worse stays as it was. For differentiable renderers with a continuous ``what``.

    Args:
        steps: for each slot.
        rate: the first step, in the prior's standard deviations of a code.
    Errors:
        ValueError for fewer than one step, or a rate that is not positive.
    """

    def __init__(self, steps: int = 10, rate: float = 0.15) -> None:
        if steps < 1:
            raise ValueError(f"descent's steps must be at least 1, got {steps}: 10, or leave model.descent out")
        if not 0 < rate < math.inf:
            raise ValueError(f"descent's rate must be positive and finite, got {rate}: 0.15, for example")
        self.steps, self.rate = steps, rate

    def check(self, renderer: Renderer, argument: str = "model.descent") -> None:
        """ValueError, which names the argument, where slots of this renderer have no gradient to follow."""
        reasons = {
            "is not differentiable": not renderer.differentiable,
            "has identities": not isinstance(renderer.what, Gaussian),
            "sorts its slots by depth": renderer.compositing == "zbuffer",
            "has coordinates of the scene": renderer.scene is not None,
        }
        if reason := next((reason for reason, true in reasons.items() if true), None):
            raise ValueError(
                f"{type(renderer).__name__} {reason}, and descent is for differentiable renderers of a continuous "
                f"`what`, one slot upon another: leave {argument} out; model.refinement is for any renderer"
            )

    @torch.no_grad()
    def __call__(self, renderer: Renderer, network: InferenceNetwork, observation: Observation, slots: Slots) -> Slots:
        """The observed images explained again, with as many slots, each fitted before the next is looked for."""
        settle = partial(self.settled, renderer, observation)
        return infer(renderer, network, observation, slots.presence_logits.shape[1], sample=False, settle=settle)

    @torch.no_grad()
    def together(self, renderer: Renderer, observation: Observation, slots: Slots, count: Tensor) -> Slots:
        """The first ``count`` (B,) slots of each image, moved all at once to where they explain it better together."""
        mean, log_sd = slots.what_parameters.chunk(2, -1)
        with torch.inference_mode(False), torch.enable_grad():
            start = torch.cat([slots.where_mean[:, :, 0], mean], 2).clone()
            behind = None if observation.background is None else observation.background.clone()
            own = Observation(observation.images.clone(), _own(observation.loss), behind)
            found = self._descended(partial(_cost, renderer, own, count.clone()), start, len(renderer.where))
        pose, code = found[..., : len(renderer.where)], found[..., len(renderer.where) :]
        where = renderer.where.constrain(pose)
        moved = slots._replace(
            what=code,
            where=where,
            where_by_identity=where.unsqueeze(2),
            where_mean=pose.unsqueeze(2),
            what_parameters=torch.cat([code, log_sd], 2),
        )
        return moved.where_true(torch.arange(mean.shape[1], device=count.device) < count.unsqueeze(1), slots)

    def settled(self, renderer: Renderer, observation: Observation, canvas: Tensor, slot: Slots) -> Slots:
        """One slot (``next_slot``), fitted to the images upon a canvas (B, C, H, W) of those before it."""
        alone = Slots(*(part.unsqueeze(1) for part in slot))
        one = torch.ones(len(canvas), dtype=torch.long, device=canvas.device)
        found = self.together(renderer, observation._replace(background=canvas), alone, one)
        return Slots(*(part.squeeze(1) for part in found))

    def _descended(self, cost: Callable[[Tensor], Tensor], start: Tensor, places: int) -> Tensor:
        """Numbers (B, N, P + D), poses and codes, of less cost (B,)."""
        numbers, first, second = start, torch.zeros_like(start), torch.zeros_like(start)
        for step in range(self.steps):
            numbers.requires_grad_()
            (gradient,) = torch.autograd.grad(cost(numbers).sum(), numbers)
            square = gradient.square()
            # one scale for all of a code, or what says nothing would move as far as the rest
            square[..., places:] = square[..., places:].mean(-1, keepdim=True)
            first, second = FIRST * first + (1 - FIRST) * gradient, SECOND * second + (1 - SECOND) * square
            unbiased = first / (1 - FIRST ** (step + 1)), second / (1 - SECOND ** (step + 1))
            move = self.rate * (1 - step / self.steps) * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
            move[..., :places] *= POSE
            numbers = numbers.detach() - move
        with torch.no_grad():
            better = cost(numbers) < cost(start)
        return torch.where(better.view(-1, 1, 1), numbers, start.detach())


def _own(loss: PixelLoss) -> PixelLoss:
    """The loss, its scale one that gradients may pass."""
    return replace(loss, scale=loss.scale.detach().clone()) if isinstance(loss.scale, Tensor) else loss


def _cost(renderer: Renderer, observation: Observation, count: Tensor, numbers: Tensor) -> Tensor:
    """Nats (B,) of numbers (B, N, P + D), of which those of the first ``count`` (B,) slots are drawn.

    They are the images' upon that canvas, and the part of these slots' KL that depends on means.
    """
    pose, code = numbers[..., : len(renderer.where)], numbers[..., len(renderer.where) :]
    canvases = renderer.render(code, renderer.where.constrain(pose), observation.background)
    shown = canvases[torch.arange(len(count), device=count.device), count]
    straight = pick(pose, renderer.where.straight)  # an angle's prior is uniform
    kl = 0.5 * (straight.square().sum(2) + code.square().sum(2))
    there = torch.arange(kl.shape[1], device=count.device) < count.unsqueeze(1)
    return observation.loss.total(shown, observation.images) + (kl * there).sum(1)
