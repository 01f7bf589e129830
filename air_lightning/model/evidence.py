"""What each of the N + 1 explanations of an image is worth: canvases, likelihoods, and the bound.

``F_n = log p(x | canvas_n) - sum_{i <= n} KL_i`` and ``ELBO = sum_n q(n) [F_n + log p(n) - log q(n)]``
(AIR, equation 5, with the expectation over the count done exactly).
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from air_lightning.distributions import categorical_kl, gaussian_kl, wrapped_log_ratio
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of, where_kl
from renderers.base import Renderer
from renderers.constants import pick
from renderers.spaces import Gaussian, Where


def log_likelihoods(canvases: Tensor, observation: Observation) -> Tensor:
    """log p(x | canvas_n), (B, N + 1), for canvases (B, N + 1, C, H, W)."""
    return -observation.loss.total(canvases, observation.images.unsqueeze(1))


def what_kl(renderer: Renderer, slots: Slots) -> Tensor:
    """KL of each slot's ``what`` to its prior, (B, N): uniform over identities, standard normal over codes."""
    if isinstance(renderer.what, Gaussian):
        mean, log_sd = slots.what_parameters.chunk(2, -1)
        return gaussian_kl(mean, log_sd.exp()).sum(-1)
    log_q = slots.what_parameters.log_softmax(-1)
    return categorical_kl(log_q, torch.full_like(log_q, -math.log(renderer.identity_count)))


def of_sample(options: Tensor, what: Tensor) -> Tensor:
    """Column of ``options`` (B, N, K, ...) that goes with identities ``what`` (B, N); the only one where K is 1."""
    if options.shape[2] == 1:
        return options[:, :, 0]
    index = what.view(*what.shape, *[1] * (options.dim() - 2))
    return options.gather(2, index.expand(-1, -1, 1, *options.shape[3:])).squeeze(2)


def slot_kl(renderer: Renderer, slots: Slots) -> Tensor:
    """KL_i of every slot, (B, N): the sampled identity's pose, and ``what``."""
    return of_sample(where_kl(renderer, slots.where_mean, slots.where_sd), slots.what) + what_kl(renderer, slots)


def evidence(log_likelihood: Tensor, kl: Tensor, background_kl: Tensor | None = None) -> Tensor:
    """F_n, (B, N + 1), of log likelihoods (B, N + 1), slots' KL (B, N) and the background's (B,)."""
    result = log_likelihood - torch.cat([torch.zeros_like(kl[:, :1]), kl.cumsum(1)], 1)
    return result if background_kl is None else result - background_kl.unsqueeze(1)


def bound(log_q: Tensor, evidence: Tensor, log_prior: Tensor) -> Tensor:
    """The ELBO in nats, (B,), of log q(n) and F_n (B, N + 1) and log p(n) (N + 1,)."""
    return (log_q.exp() * (evidence + log_prior - log_q)).sum(1)


def where_log_ratio(renderer: Renderer, slots: Slots) -> Tensor:
    """log q(where) - log p(where) of each slot's sampled pose, (B, N); its mean is the pose's KL.

    Densities are those of the unconstrained pose. An angle's is wrapped on its identity's period, as its KL is.
    """
    mean, sd = of_sample(slots.where_mean, slots.what), of_sample(slots.where_sd, slots.what)
    noise = slots.where_noise[:, :, 0]
    return pose_log_ratio(renderer.where, mean, sd, noise, periods_of(renderer, slots.what, mean))


def pose_log_ratio(space: Where, mean: Tensor, sd: Tensor, noise: Tensor, periods: Tensor) -> Tensor:
    """log q - log p, (...), of coordinates (..., P) at ``noise`` times sd from the mean; its mean is ``pose_kl``."""
    straight = 0.5 * ((mean + sd * noise) ** 2 - noise**2) - sd.log()
    total = pick(straight, space.straight).sum(-1)
    if space.circular:
        turns = pick(periods, space.circular)
        total = total + wrapped_log_ratio(pick(noise, space.circular), pick(sd, space.circular), turns).sum(-1)
    return total


def what_log_ratio(renderer: Renderer, slots: Slots) -> Tensor:
    """log q(what) - log p(what) of each slot's sample, (B, N); its mean is ``what_kl``."""
    if isinstance(renderer.what, Gaussian):
        mean, log_sd = slots.what_parameters.chunk(2, -1)
        return (0.5 * (slots.what**2 - ((slots.what - mean) / log_sd.exp()) ** 2) - log_sd).sum(-1)
    log_q = slots.what_parameters.log_softmax(-1)
    return log_q.gather(2, slots.what.unsqueeze(2)).squeeze(2) + math.log(renderer.identity_count)


def importance_bound(evidences: Iterable[Tensor], log_prior: Tensor) -> Tensor:
    """``log 1/K sum_k sum_n p(n) exp F_n^k`` in nats, (B,): between the ELBO and log p(x), closer with more samples.

    Burda et al. 2016, equation 8, with the sum over the count done exactly.

    Args:
        evidences: for each of K samples of the slots F_n (B, N + 1), made of log ratios and not of KLs.
        log_prior: log p(n), (N + 1,).
    """
    logs = torch.stack([(evidence + log_prior).logsumexp(1) for evidence in evidences])
    return logs.logsumexp(0) - math.log(len(logs))
