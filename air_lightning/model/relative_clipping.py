"""Relative clipping: no tensor's gradient is much larger than it usually is."""

import torch


@torch.no_grad()
def clip_to_usual(optimizer: torch.optim.Adam, largest: float) -> None:
    """Scale down the gradients whose norm is more than ``largest`` times the usual one, each tensor by itself.

    Adam divides a gradient by the root of v, the running mean of its square. Where gradients were small for long, as a
    presence's are once it is sure, v lags behind one that is not: the steps are then many times what the learning rate
    means, the next gradients larger still, and within ten steps a model may forget what it had learnt in thousands. A
    limit on the norm of all gradients does not see it, for most of that norm is the poses'. So each tensor has a limit
    of its own, as in AdaGC (Wang et al. 2025, section 3); what is usual is what Adam keeps, the root of the sum of v.

    Args:
        optimizer: its parameters have their gradients, clipped otherwise before.
        largest: 2 leaves most as they are. At 1 or below what is usual would fall ever further.
    """
    for group in optimizer.param_groups:
        decay = group["betas"][1]
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if parameter.grad is None or not state:  # the first step has nothing to compare with
                continue
            usual = (state["exp_avg_sq"].sum() / (1 - decay ** state["step"])).sqrt()
            share = largest * usual / parameter.grad.norm()
            parameter.grad.mul_(torch.where(usual > 0, share.clamp_max(1.0), 1.0))
