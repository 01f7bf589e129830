"""The aggregate posterior: what the objects of the training images are like."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from air_lightning.distributions import gaussian_kl, presence_weights
from air_lightning.model.evidence import of_sample
from air_lightning.model.slots import Slots
from air_lightning.parallel import average
from renderers.base import Renderer
from renderers.constants import pick
from renderers.first_process import warn
from renderers.spaces import Gaussian

NARROWEST = 1e-4
"""Variance below which no direction of the aggregate posterior is taken to be; the prior's is 1."""
PREFIX = "aggregate."
"""Of the names of its buffers among a model's weights."""


class AggregatePosterior(nn.Module):
    """The Gaussian nearest to the aggregate posterior of a training's objects, which a search takes for their prior.

    ``q(z) = E_x[sum_k q(k is there | x) q_k(z | x)]`` of unconstrained poses and codes (Makhzani et al. 2016; Hoffman &
    Johnson 2016). Objects that the data has are near to it; what patches another's misfit often is not: too large for
    its place, or of a code that no object has. The prior tells them apart by little, and the power of a search's
    evidence by less.

    While the model trains, mean and covariance are gathered from the network's posteriors, each object weighed by how
    sure it is to be there, as a running mean over steps. They are buffers, kept with the weights. Angles, whose prior
    is uniform, and identities are left out.

    Attributes:
        weight: objects an image. first, second: (D,) and (D, D), of them the sum, and that of the products.

    Args:
        memory: steps over which the running mean forgets.
    Errors:
        ValueError for a memory below 1.
    """

    weight: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, memory: int = 200) -> None:
        super().__init__()
        if memory < 1:
            raise ValueError(f"the aggregate posterior's memory must be at least 1 step, got {memory}: 200 is usual")
        self.share = 1 / memory

    def prepare(self, renderer: Renderer) -> None:
        """Make room for the moments of what this renderer's objects have."""
        size = len(renderer.where.straight) + (renderer.what.dim if isinstance(renderer.what, Gaussian) else 0)
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("first", torch.zeros(size))
        self.register_buffer("second", torch.zeros(size, size))

    @torch.no_grad()
    def gather(self, renderer: Renderer, slots: Slots, log_q: Tensor) -> None:
        """Take in a training step's slots, of log q(n | x) (B, N + 1); all processes of a run together."""
        mean, sd = _gaussian(renderer, slots)
        there = presence_weights(log_q.exp()).unsqueeze(-1) / len(mean)
        # sums of products, which autocast leaves as precise as they are
        squares = mean.unsqueeze(-1) * mean.unsqueeze(-2) + torch.diag_embed(sd.square())
        sums = there.sum((0, 1)), (there * mean).sum((0, 1)), (there.unsqueeze(-1) * squares).sum((0, 1)).flatten()
        kept_sums = self.weight, self.first, self.second
        new = torch.split(average(torch.cat(sums)).to(self.weight), [kept.numel() for kept in kept_sums])
        for kept, part in zip(kept_sums, new):
            kept.lerp_(part.view_as(kept), self.share)

    def gain(self, renderer: Renderer, slots: Slots) -> Tensor:
        """Nats (B, N) by which each slot is nearer to the aggregate posterior than to the prior, as against usual ones.

        ``KL(q || p) - KL(q || aggregate)`` of its posterior q, less ``KL(aggregate || p)``, its mean over the objects
        that were gathered: how typical they are on the whole is no reason for one more. 0 while nothing has been.
        """
        mean, sd = _gaussian(renderer, slots)
        if not self.weight > 0:
            return mean.new_zeros(mean.shape[:2])
        center = self.first / self.weight
        covariance = self.second / self.weight - center.outer(center)
        variances, axes = torch.linalg.eigh(covariance)
        variances = variances.clamp_min(NARROWEST)
        precision = (axes.unsqueeze(0) * axes.unsqueeze(1) / variances).sum(-1)
        away = mean - center
        squares = away.unsqueeze(-1) * away.unsqueeze(-2) + torch.diag_embed(sd.square())
        spread = (squares * precision).sum((-2, -1))
        entropy = sd.log().sum(-1) + 0.5 * mean.shape[-1]
        to_aggregate = 0.5 * (spread + variances.log().sum()) - entropy
        usual = 0.5 * (center.square().sum() + (variances - 1 - variances.log()).sum())
        return gaussian_kl(mean, sd).sum(-1) - to_aggregate - usual


def with_gathered(weights: Mapping[str, Tensor], aggregate: AggregatePosterior | None) -> dict[str, Tensor]:
    """A checkpoint's weights without what was gathered, where the model does not ask, or with nothing gathered yet."""
    others = {name: weight for name, weight in weights.items() if not name.startswith(PREFIX)}
    if aggregate is None:
        return others
    if len(others) < len(weights):
        return dict(weights)
    warn(
        "model.aggregate: the checkpoint was trained without one, so that nothing is known of what objects are like, "
        "and a search goes by the prior: train with it, or leave it out (--model.aggregate null)"
    )
    return others | {PREFIX + name: value for name, value in aggregate.state_dict().items()}


def _gaussian(renderer: Renderer, slots: Slots) -> tuple[Tensor, Tensor]:
    """Mean and sd (B, N, D) of the slots' posteriors: straight coordinates of their poses, and codes."""
    parts = [pick(of_sample(part, slots.what), renderer.where.straight) for part in (slots.where_mean, slots.where_sd)]
    if isinstance(renderer.what, Gaussian):
        code, log_sd = slots.what_parameters.chunk(2, -1)
        parts = [torch.cat(pair, -1) for pair in zip(parts, (code, log_sd.exp()))]
    return parts[0].float(), parts[1].float()
