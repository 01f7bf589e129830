"""In how many ways slots explain an image: orders of them, and others of them in the place of the first."""

import torch
import torch.nn.functional as F
from torch import Tensor


def log_arrangements(gains: Tensor) -> Tensor:
    """log of what all explanations by n of N slots are worth beside the first n in their order, (B, N + 1).

    Objects are drawn one by one from one prior, so p(x | n) is an integral over the poses of a first, a second, ...:
    each of the n! orders has a share of it as large as that of the order found. And others of the slots than the first
    n have one, too. With gains w_i = exp(g_i), (B, N), of each slot given those before it, all sets of n are worth the
    elementary symmetric polynomial of the w_i, the first n their product. A slot pays no more in another's place than
    the least of those before it does, whatever it gains after them.
    """
    least = gains.cummin(1).values
    sets = [torch.zeros_like(gains[:, 0]), *torch.full_like(gains, -torch.inf).unbind(1)]
    for gain in least.unbind(1):
        sets = [sets[0], *(torch.logaddexp(more, fewer + gain) for more, fewer in zip(sets[1:], sets))]
    orders = torch.lgamma(torch.arange(len(sets), device=gains.device) + 1.0)
    return torch.stack(sets, 1) - F.pad(least.cumsum(1), (1, 0)) + orders
