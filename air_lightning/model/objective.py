"""The training objective: slots and canvases to a loss, term by term."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.distributions import count_log_posterior, presence_weights
from air_lightning.estimators.angle import AngleScan
from air_lightning.estimators.base import Context, CountEstimator, IdentityEstimator, Score
from air_lightning.model.evidence import bound, evidence, log_likelihoods, of_sample, what_kl
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of, where_kl
from renderers.base import Renderer
from renderers.first_process import warn
from renderers.pixel_loss import PixelLoss
from renderers.spaces import Categorical


class Objective(NamedTuple):
    """Attributes:
    loss: scalar, nats an image.
    terms: its parts by name (scalars, sum to the loss).
    elbo: scalar, the mean bound at the present likelihood scale, without gradient.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    elbo: Tensor


def objective(
    renderer: Renderer,
    slots: Slots,
    observation: Observation,
    log_prior: Tensor,
    count: CountEstimator,
    identity: IdentityEstimator | None,
    step: int,
    coarseness: float = 1.0,
    weight: float | Tensor = 1.0,
    angle: AngleScan | None = None,
) -> Objective:
    """Loss whose gradient trains presence, where and what.

    Slots are trained by ``-sum_n w_n F_n`` under the count estimator's weights w: where through the canvases
    (autograd or finite differences), a continuous what likewise, a categorical what by the identity estimator.

    Args:
        observation: the images and their noise. log_prior: log p(n), (N + 1,). step: of training.
        coarseness: factor on the finite-difference steps.
        weight: factor on the terms that train where (and a continuous what), against presence and identity.
        angle: trains angles besides; null: they learn by the canvases alone.
    """
    kl_of_where, kl_of_what = where_kl(renderer, slots.where_mean, slots.where_sd), what_kl(renderer, slots)
    canvases = renderer.canvases(slots.what, slots.where, coarseness, observation.background)
    likelihood = log_likelihoods(canvases, observation)
    log_q = count_log_posterior(slots.presence_logits)
    kl = of_sample(kl_of_where, slots.what) + kl_of_what
    behind = observation.kl
    log_evidence = evidence(likelihood, kl, behind).detach()

    def mixed(shares: Tensor) -> Tensor:
        cost = (presence_weights(shares) * kl.detach()).sum(1)
        cost = cost if behind is None else cost + behind.detach()
        return _mixed_likelihood(canvases.detach(), observation, shares) - cost

    context = Context(observation.images, step, slots.presence_logits, mixed)
    weights, presence_loss, relaxed = count(log_q, log_evidence, log_prior, context)
    explained = _mixed_likelihood(canvases, observation, weights) if relaxed else (weights * likelihood).sum(1)
    present = presence_weights(weights)
    # a continuous what learns through the canvases, as where does; a categorical one by its estimator
    what_weight = 1.0 if isinstance(renderer.what, Categorical) else weight
    terms = {
        "reconstruction": -weight * explained.mean(),
        "where_kl": weight * (present * _expected(kl_of_where, slots, renderer)).sum(1).mean(),
        "what_kl": what_weight * (present * kl_of_what).sum(1).mean(),
        "presence": presence_loss.mean(),
    }
    shared = {"background_kl": observation.background_kl, "scene_kl": observation.scene and observation.scene.kl}
    for name, nats in shared.items():
        if nats is not None:  # what they are of learns through the canvases
            terms[name] = weight * nats.mean()
    if isinstance(renderer.what, Categorical):
        assert identity is not None
        score = _identity_score(renderer, slots, observation, weights, kl_of_where.detach())
        losses = identity(slots.what_parameters.log_softmax(-1), slots.what, score, context)
        terms["identity"] = losses.sum(1).mean()
    if angle is not None and renderer.where.circular:
        terms["angle"] = _angle_loss(renderer, slots, observation, weights, angle).sum(1).mean()
    return Objective(sum(terms.values(), torch.zeros(())), terms, bound(log_q, log_evidence, log_prior).mean().detach())


LEAST_WEIGHT = 3e-4
"""Of the slots' terms: 0.1, the usual balance, times the variance of a scale of 0.055; at 0.06 slots do learn."""


def warn_of_balance(balance: float, loss: PixelLoss, canvas: Tensor) -> None:
    """Say so where the slots' terms have next to no weight against presence: the noise about a canvas (C, H, W) is low.

    Everything is then right, and training slow to begin, or wrong in the end: presence learns and objects do not.
    """
    variance = float(torch.as_tensor(loss.sd(canvas)).detach().square().mean())
    weight = balance * variance
    if weight < LEAST_WEIGHT:
        warn(
            f"model.balance is {balance:g} and the noise's variance {variance:.2g}: slots learn with {weight:.1g} of "
            f"presence's weight, and hardly. Set it from {0.004 / variance:.2g} (what 0.1 is at a scale of 0.2) to "
            f"{1 / variance:.2g} (their weight in the bound)"
        )


def _mixed_likelihood(canvases: Tensor, observation: Observation, shares: Tensor) -> Tensor:
    """log p(x | sum_n s_n canvas_n), (B,), of shares (B, N + 1)."""
    image = (shares[:, :, None, None, None] * canvases).sum(1, keepdim=True)
    return log_likelihoods(image, observation).squeeze(1)


def _expected(kl_of_where: Tensor, slots: Slots, renderer: Renderer) -> Tensor:
    """The pose's KL (B, N) in expectation over identity, whose own gradient is the identity estimator's affair."""
    if not isinstance(renderer.what, Categorical):
        return kl_of_where[:, :, 0]
    return (slots.what_parameters.detach().softmax(-1) * kl_of_where).sum(-1)


def _identity_score(
    renderer: Renderer, slots: Slots, observation: Observation, weights: Tensor, kl_of_where: Tensor
) -> Score:
    """Identities (B, N, M) to ``F`` of the canvases that show slot i, weighted by w given that they do.

    Given, because a slot with the wrong identity may well explain worse than none: w then has left it, and without
    this it would never learn a better one.
    """
    change = _evidence_change(renderer, slots, observation, weights)

    def score(what: Tensor) -> Tensor:
        index = what.unsqueeze(-1).expand(*what.shape, slots.where.shape[-1])
        return change(what, slots.where_by_identity.detach().gather(2, index)) - kl_of_where.gather(2, what)

    return score


def _angle_loss(renderer: Renderer, slots: Slots, observation: Observation, weights: Tensor, scan: AngleScan) -> Tensor:
    """Loss (B, N) of the angles, each slot turned, the others as they are, given that it is shown.

    Given, as for identity: an object that stands the wrong way round may well explain worse than none.
    """
    change = _evidence_change(renderer, slots, observation, weights)

    def score(where: Tensor) -> Tensor:
        return change(slots.what.unsqueeze(2).expand(-1, -1, where.shape[2], *slots.what.shape[2:]), where)

    periods = periods_of(renderer, slots.what, slots.where)
    mean, deviation = (of_sample(part, slots.what) for part in (slots.where_mean, slots.where_sd))
    return scan(renderer.where, periods, mean, deviation, slots.where, score)


def _evidence_change(
    renderer: Renderer, slots: Slots, observation: Observation, weights: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """what (B, N, M, ...) and where (B, N, M, P) of every slot to the change (B, N, M) of log p(x) they make.

    Against leaving the slot out, over the canvases that show it.
    """
    given = given_shown(weights)

    @torch.no_grad()
    def change(what: Tensor, where: Tensor) -> Tensor:
        images, loss, background = observation[:3]
        losses = renderer.swap_losses(images, slots.what, slots.where.detach(), what, where, loss, background)
        return -(losses * given.unsqueeze(2)).sum(-1)

    return change


def given_shown(weights: Tensor) -> Tensor:
    """Weights (B, N, N + 1) of the canvases given that they show slot i."""
    count = weights.shape[1]
    showing = torch.ones(count, count, device=weights.device).triu()[1:]  # (N, N + 1): canvas n shows slot i
    # where w has left a slot altogether, its own canvas counts
    given = weights.unsqueeze(1) * showing + 1e-6 * torch.eye(count, device=weights.device)[1:]
    return given / given.sum(2, keepdim=True)
