"""Relaxed presence: the count's estimator that mixes canvases instead of choosing one."""

import torch
from torch import Tensor

from air_lightning.estimators.base import Context, CountEstimate, CountEstimator
from air_lightning.schedules import Constant, Schedule, check_positive


class ConcreteCount(CountEstimator):
    """Presence as relaxed Bernoulli variables, through which the gradient passes.

    Concrete or Gumbel-softmax (Maddison et al. 2017; Jang et al. 2017), in AIR as public implementations have it:
    ``z_i = sigmoid((logit_i + logistic noise) / temperature)``, slot i is there by ``m_i = prod_{j <= i} z_j``, and the
    image is explained by the canvases mixed in the shares ``s_n = m_n - m_{n + 1}``. The loss is that mixture's
    evidence less the KL of q(n) to p(n), which is exact. Biased but for a temperature towards 0.

    Args:
        temperature: of the relaxation, positive; a number or a schedule over training.
        warmup, power, delay: see CountEstimator.
    Errors:
        ValueError for a temperature that is not positive at the schedule's start and end.
    """

    def __init__(
        self, temperature: float | Schedule = 0.5, warmup: int = 0, power: float = 1.0, delay: int = 0
    ) -> None:
        super().__init__(warmup, power, delay)
        self.temperature = temperature if isinstance(temperature, Schedule) else Constant(temperature)
        check_positive("temperature", self.temperature, 0.5)

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        noise = torch.rand_like(context.logits).clamp(1e-6, 1 - 1e-6).logit()
        shares = mixture(torch.sigmoid((context.logits + noise) / self.temperature(context.step)))
        divergence = (log_q.exp() * (log_q - log_prior)).sum(1)
        return CountEstimate(shares.detach(), divergence - self.power * context.mixed(shares), mixed=True)


def mixture(presence: Tensor) -> Tensor:
    """Shares (B, N + 1) of the canvases for relaxed presences (B, N) in [0, 1]; rows sum to one."""
    shown = presence.cumprod(1)
    one, zero = torch.ones_like(shown[:, :1]), torch.zeros_like(shown[:, :1])
    return torch.cat([one, shown], 1) - torch.cat([shown, zero], 1)
