"""Central finite differences through a black box: gradients in pose for images that have none.

``d image / d pose_j ~ [R(pose + e_j) - R(pose - e_j)] / (2 e_j)``, contracted with the incoming gradient
(AIR, Eslami et al. 2016, section 3.3). The error falls with the square of the step where R is smooth.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Render = Callable[[Tensor], Tensor]
Contract = Callable[[Tensor, Tensor], Tensor]


def perturb(pose: Tensor, steps: Tensor) -> Tensor:
    """Poses (..., P) to (..., 2P, P): first every coordinate up by its step, then every coordinate down."""
    moves = torch.diag(steps)
    return pose.unsqueeze(-2) + torch.cat([moves, -moves])


def central(scores: Tensor, steps: Tensor) -> Tensor:
    """Scores (..., 2P) at the poses of ``perturb`` to their central differences (..., P)."""
    up, down = scores.chunk(2, -1)
    return (up - down) / (2 * steps)


def contract_whole(render: Render, pose: Tensor, steps: Tensor, gradient: Tensor) -> Tensor:
    """Gradient in ``pose`` by drawing the whole image 2 times for each of its numbers.

    Args:
        render: poses (B, N, P) to an image (B, ...).
        pose: (B, N, P). steps: (P,). gradient: (B, ...), the incoming gradient of the image.
    Returns:
        (B, N, P).
    """
    result = torch.zeros_like(pose)
    for i in range(pose.shape[1]):
        for j, step in enumerate(steps):
            move = torch.zeros_like(pose)
            move[:, i, j] = step
            change = render(pose + move) - render(pose - move)
            result[:, i, j] = (change * gradient).flatten(1).sum(1) / (2 * step)
    return result


class _Differenced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pose: Tensor, render: Render, contract: Contract) -> Tensor:
        ctx.save_for_backward(pose)
        ctx.contract = contract
        return render(pose)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (pose,) = ctx.saved_tensors
        return ctx.contract(pose, gradients[0]), None, None


def differenced(pose: Tensor, render: Render, contract: Contract) -> Tensor:
    """``render(pose)`` with a backward pass that calls ``contract(pose, incoming gradient)``.

    ``contract`` may be ``contract_whole`` or anything that gives the same numbers for less.
    """
    if not pose.requires_grad:
        return render(pose)
    result: Tensor = _Differenced.apply(pose, render, contract)  # type: ignore[no-untyped-call]
    return result
