"""How sure a refined pose is: the curvature of the log joint around it, by the renderer's finite differences."""

import torch
from torch import Tensor

from air_lightning.model.evidence import of_sample, slot_kl
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of
from renderers.base import Renderer
from renderers.constants import pick
from renderers.spaces import Where

SHARES = (0.0, 0.25, 0.5, 1.0)
"""Of a Newton step, of which the best is taken."""


@torch.no_grad()
def laplace_sd(renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor) -> Tensor:
    """Posterior sd (B, N, P) of each slot's unconstrained pose around ``slots.where``, the other slots as they are.

    Laplace's approximation (MacKay 2003, chapter 27): the pose's posterior is taken for the Gaussian whose precision is
    the curvature of -log p(x, where) there. The likelihood's part is the matrix of second central differences of the
    canvases' pixel losses, with each coordinate's own step; directions in which it is negative count as flat. The
    prior adds 1 to every straight coordinate, and 12 / period^2, the uniform's precision, to angles. What is given are
    the roots of the inverse's diagonal: each coordinate's own sd, whatever the others are.

    Args:
        observation: the images and their noise.
        weights: (B, N, N + 1), of the canvases that show slot i, rows sum to one.
    """
    return _covariance(renderer, observation, slots, weights).diagonal(dim1=-2, dim2=-1).sqrt()


def _covariance(renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor) -> Tensor:
    """Posterior covariances (B, N, P, P) of the unconstrained poses, as ``laplace_sd`` has them."""
    _, likelihood, prior = _local(renderer, observation, slots, weights)
    return torch.linalg.inv(likelihood + torch.diag_embed(prior))


@torch.no_grad()
def settled(renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor, iterations: int) -> Slots:
    """The slots at the modes of their poses' posteriors, which are Laplace's to expand around: prior and fit together.

    Newton steps by the whole curvature, mixed derivatives included, in unconstrained numbers; each as long as two
    finite-difference steps at most, and of some fractions of it the best is taken, none if that is it. Arguments as
    ``laplace_sd`` has them.
    """
    space = renderer.where
    for _ in range(iterations):
        gradient, likelihood, prior = _local(renderer, observation, slots, weights)
        u = space.unconstrain(slots.where)
        pull = torch.zeros_like(u)
        pull[..., space.straight] = u[..., space.straight]
        step = -torch.linalg.solve(likelihood + torch.diag_embed(prior), gradient + pull)
        options = torch.stack([_moved(space, slots.where, u + share * step) for share in SHARES], 2)
        worth = _losses(renderer, observation, slots, options, weights) + _prior_loss(space, options)
        best = worth.argmin(2)[..., None, None].expand(*u.shape[:2], 1, u.shape[-1])
        slots = slots._replace(where=options.gather(2, best).squeeze(2))
    return slots


def _moved(space: Where, where: Tensor, u: Tensor) -> Tensor:
    """The poses (..., P) of unconstrained numbers, no farther than two finite-difference steps from ``where``."""
    farthest = 2 * space.steps(where)
    return space.clamp(where + torch.clamp(space.constrain(u) - where, -farthest, farthest))


def _prior_loss(space: Where, where: Tensor) -> Tensor:
    """-log p of poses (..., P), as densities of the unconstrained numbers, less a constant: (...)."""
    return pick(space.unconstrain(where), space.straight).square().sum(-1) / 2


def _local(
    renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of -log p(x | pose) in each slot's unconstrained pose the gradient (B, N, P) and the curvature (B, N, P, P),
    in no direction negative; and the prior's precision (B, N, P)."""
    space, where = renderer.where, slots.where
    steps = space.steps(where)
    losses = _losses(renderer, observation, slots, where.unsqueeze(2) + pose_moves(steps), weights)
    gradient, curvature = derivatives(losses, space.slopes(space.unconstrain(where)) / steps)
    return gradient, convex(curvature), prior_precision(space, periods_of(renderer, slots.what, where))


def derivatives(losses: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (..., P) and curvature (..., P, P) of losses (..., M) at ``pose_moves``, in unconstrained numbers.

    slope: (..., P), of a pose in such numbers, in steps.
    """
    places = slope.shape[-1]
    gradient = slope * (losses[..., 1 : 1 + places] - losses[..., 1 + places : 1 + 2 * places]) / 2
    return gradient, slope.unsqueeze(-1) * _curvature(losses, places) * slope.unsqueeze(-2)


def convex(curvature: Tensor) -> Tensor:
    """Symmetric matrices (..., P, P) as they are, but flat where they are negative."""
    # a diverged model's has no eigenvalues: it is to fail where its poses are looked at
    values, vectors = torch.linalg.eigh(curvature.nan_to_num(0.0, 0.0, 0.0))
    return vectors @ (values.clamp_min(0).unsqueeze(-1) * vectors.mT)


def _losses(renderer: Renderer, observation: Observation, slots: Slots, moved: Tensor, weights: Tensor) -> Tensor:
    """Pixel losses (B, N, M), nats, of each slot at poses (B, N, M, P), weighted as ``laplace_sd`` has it."""
    what = slots.what.unsqueeze(2).expand(*moved.shape[:3], *slots.what.shape[2:])
    images, loss, background = observation[:3]
    losses = renderer.swap_losses(images, slots.what, slots.where, what, moved, loss, background)
    return (losses * weights.unsqueeze(2)).sum(-1)


def with_fitted_posterior(renderer: Renderer, observation: Observation, slots: Slots, weights: Tensor) -> Slots:
    """The slots, the posterior of each one's pose being Laplace's around where it is.

    Slots have an sd for each coordinate and no correlations. These are all narrowed by one factor, so that the Gaussian
    has the volume of that with correlations, which is what its evidence depends on (``fitted_kl``).
    """
    covariance = _covariance(renderer, observation, slots, weights)
    sd = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    narrowed = (0.5 * torch.logdet(covariance) - sd.log().sum(-1)) / sd.shape[-1]
    return slots.with_pose_posterior(renderer.where.unconstrain(slots.where), sd * narrowed.exp().unsqueeze(-1))


def fitted_kl(renderer: Renderer, slots: Slots) -> Tensor:
    """What a slot whose posterior was fitted takes off the log evidence, (B, N) nats, in Laplace's approximation.

    Its KL, and what the likelihood loses on average over the posterior: half of the trace of its curvature times the
    posterior's variance (MacKay 2003, equation 27.10).
    """
    sd = of_sample(slots.where_sd, slots.what)
    prior = prior_precision(renderer.where, periods_of(renderer, slots.what, slots.where))
    return slot_kl(renderer, slots) + (1 - sd.square() * prior).sum(-1) / 2


def pose_moves(steps: Tensor) -> Tensor:
    """Moves (1 + 2 P + P (P - 1), P): none, each coordinate up, each down, each pair up, each pair down."""
    single = torch.diag(steps)
    first, second = torch.tril_indices(len(steps), len(steps), -1, device=steps.device)
    pairs = single[first] + single[second]
    return torch.cat([torch.zeros_like(single[:1]), single, -single, pairs, -pairs])


def _curvature(values: Tensor, places: int) -> Tensor:
    """Second central differences (..., P, P) of values (..., M) at ``pose_moves``, in units of the steps."""
    pairs = places * (places - 1) // 2
    here, up, down, both_up, both_down = torch.split(values, [1, places, places, pairs, pairs], -1)
    along = up + down - 2 * here
    first, second = torch.tril_indices(places, places, -1, device=values.device)
    across = (both_up + both_down - 2 * here - along[..., first] - along[..., second]) / 2
    result = torch.diag_embed(along)
    result[..., first, second] = result[..., second, first] = across
    return result


def prior_precision(space: Where, periods: Tensor) -> Tensor:
    """(..., P) of the unconstrained pose, for periods (..., P)."""
    precision = torch.ones_like(periods)
    for j in space.circular:
        precision[..., j] = 12 / torch.where(periods[..., j] > 0, periods[..., j], 1.0) ** 2
    return precision
