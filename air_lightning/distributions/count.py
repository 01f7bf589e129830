"""The count: presence is ones, then zeros, so a count is a presence."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def count_log_posterior(presence_logits: Tensor) -> Tensor:
    """log q(n | x), (B, N + 1), of presence logits (B, N).

    Presence is n ones, then a zero: ``q(n) = prod_{i <= n} pi_i (1 - pi_{n + 1})`` (AIR, section 2.2). In 32 bits at
    least, also where a network computes in 16.
    """
    presence_logits = presence_logits.to(torch.promote_types(presence_logits.dtype, torch.float32))
    on, off = F.logsigmoid(presence_logits), F.logsigmoid(-presence_logits)
    zero = torch.zeros_like(on[:, :1])
    return torch.cat([zero, on.cumsum(1)], 1) + torch.cat([off, zero], 1)


def presence_weights(weights: Tensor) -> Tensor:
    """(B, N), weight of the counts that show slot i, ``sum_{n >= i} w_n``, of weights of the counts (B, N + 1)."""
    return weights.flip(1).cumsum(1).flip(1)[:, 1:]


def count_log_prior(slots: int, success: float | Sequence[float]) -> Tensor:
    """log p(n), (N + 1,): geometric ``p(n) ~ success ** n`` truncated at N, or the given N + 1 probabilities."""
    if isinstance(success, (int, float)):
        if not 0 < success < math.inf:
            raise ValueError(
                f"the count prior's ratio must be positive and finite, got {success}: 0.3 makes each further object "
                "0.3 times as likely"
            )
        weights = torch.arange(slots + 1) * math.log(success)
        return torch.log_softmax(weights, 0)
    probabilities = torch.tensor(list(success), dtype=torch.float32)
    if len(probabilities) != slots + 1 or not bool((probabilities > 0).all()):
        raise ValueError(
            f"a count prior given as a list needs {slots + 1} positive probabilities (counts 0 to {slots}), "
            f"got {list(success)}: a ratio, 0.3, goes with any number of slots"
        )
    return torch.log(probabilities / probabilities.sum())
