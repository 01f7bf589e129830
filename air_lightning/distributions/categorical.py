"""Identities: draws and KL divergence."""

import torch
from torch import Tensor


def draw(probabilities: Tensor, samples: int) -> Tensor:
    """``samples`` indices (..., samples) drawn, with replacement, from probabilities (..., K).

    Rows with a nan are drawn from the uniform: a diverged model is to fail at its loss, which names the term.
    """
    rows = probabilities.nan_to_num(1.0).unsqueeze(-2).expand(*probabilities.shape[:-1], samples, -1).contiguous()
    # what torch.multinomial does of one sample, too, but it first has the host look at the probabilities
    return (rows / torch.empty_like(rows).exponential_()).argmax(-1)


def categorical_kl(log_q: Tensor, log_prior: Tensor) -> Tensor:
    """KL(q || p) over the last dimension."""
    return (log_q.exp() * (log_q - log_prior)).sum(-1)
