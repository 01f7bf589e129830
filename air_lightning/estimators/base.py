"""What gradient estimators of the discrete latents share: their contracts, and a way to keep advantages bounded.

Both contracts are the score function (likelihood ratio, AIR section 2.3) in one form or another:
``grad E_q[f] = E_q[f grad log q]``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.parallel import average


class Context(NamedTuple):
    """What an estimator may look at besides its own numbers.

    Attributes:
        images: (B, C, H, W). step: of training. logits: (B, N), of presence.
        mixed: shares (B, N + 1) to the evidence (B,) of the canvases mixed in them,
            ``log p(x | sum_n s_n canvas_n) - sum_i (sum_{n >= i} s_n) KL_i``; differentiable in the shares alone.
    """

    images: Tensor
    step: int
    logits: Tensor
    mixed: Callable[[Tensor], Tensor]


class CountEstimate(NamedTuple):
    """Attributes:
    weights: (B, N + 1), nonnegative, rows sum to one: how much each canvas counts in training the slots.
    loss: (B,), whose gradient trains presence (and baselines, where there are any).
    mixed: the weights are shares of one mixed canvas, by which the slots are then trained.
    """

    weights: Tensor
    loss: Tensor
    mixed: bool = False


class CountEstimator(nn.Module, ABC):
    """Trains presence from the evidence of all N + 1 explanations.

    Args:
        warmup: steps over which the slots' weights go from uniform over n >= 1 to the estimator's own. Early on a
            misplaced object explains worse than none, and without this no slot would ever be trained.
        power: the evidence's exponent in what presence learns, ``p(n) exp(power F_n)``. Below 1 the posterior is
            coarsened (Miller & Dunson 2019): one more object must explain ``-log ratio / power`` nats, where ratio is
            the count prior's, so that a slot does not pay by patching what the decoder cannot draw yet.
        delay: steps before presence learns at all. Its posterior starts undecided, and before the slots explain
            anything its gradient can only point to none.
    Errors:
        ValueError for a negative warm-up or delay and a power outside (0, 1].
    """

    def __init__(self, warmup: int = 0, power: float = 1.0, delay: int = 0) -> None:
        super().__init__()
        if delay < 0:
            raise ValueError(f"delay must not be negative, got {delay}: 0 trains presence from the first step")
        self.delay = delay
        if not 0 < power <= 1:
            raise ValueError(f"power must lie in (0, 1], got {power}: 1 leaves the evidence as it is")
        self.power = power
        if warmup < 0:
            raise ValueError(f"warmup must not be negative, got {warmup}: 0 switches it off")
        self.warmup = warmup

    @abstractmethod
    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        """Args: log q(n | x) (B, N + 1); evidence F_n times power (B, N + 1), without gradient; log p(n) (N + 1,)."""

    def prepare(self, image_shape: tuple[int, ...], slots: int) -> None:
        """Build what depends on the model, once, before training. Default: nothing."""

    def forward(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        """``estimate`` with the warm-up's weights mixed in."""
        idle = 0.0 * log_q.sum(1)  # presence takes part in every step, which parallel training asks for
        if context.step < self.delay:
            log_q, context = log_q.detach(), context._replace(logits=context.logits.detach())
        weights, loss, mixed = self.estimate(log_q, self.power * evidence.detach(), log_prior, context)
        share = max(0.0, 1 - context.step / self.warmup) if self.warmup else 0.0
        uniform = torch.ones_like(weights)
        uniform[:, 0] = 0
        uniform = uniform / uniform.sum(1, keepdim=True)
        return CountEstimate(((1 - share) * weights + share * uniform).detach(), loss + idle, mixed)


def checked_spread(spread: float | None) -> float | None:
    """``spread``, or ValueError where it is not positive."""
    if spread is not None and not spread > 0:
        raise ValueError(f"spread must be positive, got {spread}: null leaves advantages as they are")
    return spread


def bounded(advantages: Tensor, spread: float | None) -> Tensor:
    """Advantages scaled down together until their root mean square is at most ``spread``; null: as they are.

    Zeros (nothing to choose between) do not count in the mean. It is taken over all processes, each of which must call.
    """
    if spread is None:
        return advantages
    squares, active = average(torch.stack([advantages.pow(2).sum(), (advantages != 0).sum().to(advantages)]))
    size = (squares / active.clamp_min(1e-6)).sqrt() / spread
    return advantages / size.clamp_min(1.0)


def leave_one_out(signal: Tensor) -> Tensor:
    """Each of M >= 2 samples (..., M) less the mean of the others (RLOO, Kool et al. 2019)."""
    return (signal - signal.mean(-1, keepdim=True)) * signal.shape[-1] / (signal.shape[-1] - 1)


Score = Callable[[Tensor], Tensor]


class IdentityEstimator(nn.Module, ABC):
    """Trains a categorical ``what`` by how well each identity explains the image, the other slots as sampled.

    Args:
        spread: bound on the advantages' root mean square; larger ones are scaled down to it, together. As the
            likelihood sharpens, raw advantages grow with 1 / scale^2, saturate the posterior and drown the
            pose's gradient. Null leaves them as they are.
        explore: least probability with which an identity that does better than q's mean is weighed. The score
            function's own weight is q, so an identity that q has dropped early on, when poses were poor, gets no
            gradient and never comes back. Those that do worse keep q: none is pushed down further than it needs.
            0, with a null ``spread``, gives the unbiased gradient of the ELBO.
    """

    def __init__(self, spread: float | None = 2.0, explore: float = 0.1) -> None:
        super().__init__()
        if not 0 <= explore < 1:
            raise ValueError(f"explore must lie in [0, 1), got {explore}: 0.1 keeps every identity alive")
        self.explore = explore
        self.spread = checked_spread(spread)

    def prepare(self, image_shape: tuple[int, ...], slots: int) -> None:
        """Build what depends on the model, once, before training. Default: nothing."""

    @abstractmethod
    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        """Loss (B, N).

        Args:
            log_q: (B, N, K). what: (B, N), the sampled identities.
            score: identities (B, N, M) to what each contributes to the bound (B, N, M), without gradient.
        """


class Baseline(nn.Module):
    """An image's expected learning signal (NVIL, Mnih & Gregor 2014): a small convolutional regression.

    Args:
        image_shape: (C, H, W). outputs: signals of an image.
    Errors:
        ValueError for an image smaller than 4 x 4.
    """

    def __init__(self, image_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        if min(height, width) < 4:
            raise ValueError(
                f"NVIL's baseline looks at an image in patches of 4x4 and needs at least one, got {height}x{width} "
                "pixels: take an estimator without a baseline, RLOO for example, or larger images"
            )
        self.net = nn.Sequential(
            nn.Conv2d(channels, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
            nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, outputs),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.net(images)
        return out


class Normaliser(nn.Module):
    """Running mean and standard deviation of a learning signal (NVIL's variance normalisation)."""

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, decay: float = 0.95) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}: 0.95 averages over about 20 steps")
        self.decay = decay
        for name in ("mean", "variance", "seen"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def update(self, signal: Tensor) -> None:
        """Take a batch's signal into account, that of all processes."""
        keep = self.decay * (self.seen > 0)
        mean = average(signal.mean())
        variance = average(((signal - mean) ** 2).mean())
        # about the means and not by mean squares, which in single precision hide a small spread on a high level
        spread = keep * (1 - keep) * (mean - self.mean) ** 2
        self.variance.copy_(keep * self.variance + (1 - keep) * variance + spread)
        self.mean.copy_(keep * self.mean + (1 - keep) * mean)
        self.seen.add_(1)

    def sd(self) -> Tensor:
        """Standard deviation, at least 1 so that small signals are not blown up."""
        return self.variance.sqrt().clamp_min(1.0)
