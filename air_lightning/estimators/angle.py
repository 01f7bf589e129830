"""How the posterior of an angle learns where finite differences cannot see: from a scan over the whole turn."""

from collections.abc import Callable

import torch
from torch import Tensor

from air_lightning.distributions import wrapped_log_ratio
from renderers.spaces import Where

Alternatives = Callable[[Tensor], Tensor]
"""Poses (B, N, M, P) of every slot to the evidence (B, N, M) of images in which it stands there."""


class AngleScan:
    """Wake-phase update of q(angle | x): inclusive KL to the posterior over angles, by importance sampling.

    Reweighted wake-sleep (Bornschein & Bengio 2015, equation 11) for the angles alone, with proposals from the prior
    and from q: every slot is drawn at ``angles`` angles, evenly spread over its identity's period from a random start,
    and at its sampled one, and q learns from all of them, weighted by what they explain. A misfit's gradient is local:
    an object that has stripes, wings or a handle fits worse before it fits better, and so it never turns round.

    Args:
        angles: drawn of every slot and step besides the sampled one.
    """

    def __init__(self, angles: int = 8) -> None:
        if angles < 2:
            raise ValueError(f"a scan needs at least 2 angles, got {angles}: 8 is usual")
        self.angles = angles

    def __call__(
        self, space: Where, periods: Tensor, mean: Tensor, sd: Tensor, where: Tensor, evidence: Alternatives
    ) -> Tensor:
        """Loss (B, N) whose gradient trains the angles' mean and sd.

        Args:
            space: of the poses. periods: (B, N, P) of the slots' identities. mean, sd, where: (B, N, P), the posterior
                and the sampled poses of these. evidence: see ``Alternatives``.
        """
        where, losses = where.detach(), torch.zeros_like(mean[..., 0])
        for place in space.circular:
            period = periods[..., place].unsqueeze(-1)
            start = torch.rand_like(period) + torch.arange(self.angles, device=where.device)
            turned = torch.cat([where[..., place].unsqueeze(-1), start * period / self.angles], -1)
            others = where.unsqueeze(2).repeat(1, 1, turned.shape[2], 1)
            others[..., place] = turned
            spread = sd[..., place].unsqueeze(-1)
            noise = (turned - mean[..., place].unsqueeze(-1)) / spread
            log_ratio = wrapped_log_ratio(noise, spread.expand_as(noise), period.expand_as(noise))
            with torch.no_grad():
                weights = (evidence(others) - (self.angles + log_ratio.exp()).log()).softmax(-1)
            losses = losses - (weights * log_ratio).sum(-1)
        return losses
