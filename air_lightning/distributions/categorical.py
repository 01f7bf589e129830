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


def corrected(log_q: Tensor, power: float | Tensor, tilt: float | Tensor, doubt: float | Tensor) -> Tensor:
    """log q_c(n), (..., K), of the log q(n) of a categorical posterior, (..., K) and up to a constant.

    q_c(n) is proportional to ``((1 - doubt) softmax(power log q)(n) + doubt / K) exp(tilt n)``: temperature scaling
    (Guo et al. 2017, section 4.2, the power being 1 / temperature), a mixture with what knows nothing, and a bias as
    Platt (1999) has it. The tilt comes last, so that its maximum likelihood makes the expected number the mean true
    one, doubt and all (an exponential family's moments match).
    """
    log_c = (power * log_q).log_softmax(-1)
    if doubt > 0:
        log_c = ((1 - doubt) * log_c.exp() + doubt / log_q.shape[-1]).log()
    numbers = torch.arange(log_q.shape[-1], dtype=log_q.dtype, device=log_q.device)
    return (log_c + tilt * numbers).log_softmax(-1)
