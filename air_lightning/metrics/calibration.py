"""Expected beside realised: whether posteriors are as sure as they are right. Pure functions of tensors.

Shapes: B scenes, N inferred slots, T true slots, D position coordinates, K bins, G powers.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = (0.5, 0.9)
"""The central intervals of a pose whose coverage is measured."""
TURNS = 6
"""Copies of a wrapped Gaussian to each side that are summed: of an sd up to one period they hold all but 1e-8."""


class Reliability(NamedTuple):
    """Forecasts of yes or no by bins of confidence, equally wide over [0, 1]; each (K,), float.

    Attributes:
        number: how many. confidence: the sum of theirs. right: how many of them came true.
    """

    number: Tensor
    confidence: Tensor
    right: Tensor


def objects_found(position: Tensor, true_position: Tensor, true_count: Tensor, limit: float) -> Tensor:
    """The true object that each slot lies on, one of its own, (B, N) long; -1: none.

    As detections are judged (PASCAL VOC, Everingham et al. 2010): in the order of confidence, which is that of the
    slots, each takes the nearest true object that none before it has taken, if that is near enough. Identities have no
    say: the confidence q(n >= i) speaks of an object being there, not of which.

    Args:
        position: (B, N, D) of all slots, those that are held to be absent too.
        true_position: (B, T, D), of which the first `true_count` (B,) are there.
        limit: largest distance, in the positions' unit.

    Raises:
        ValueError: shapes do not fit.
    """
    _check_positions(position, true_position, true_count)
    ours, theirs = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (position, true_position))
    distance = torch.linalg.vector_norm(ours[:, :, None] - theirs[:, None], dim=-1)
    places = torch.arange(distance.shape[2], device=true_count.device)
    distance = distance.masked_fill((places >= true_count[:, None])[:, None], torch.inf)
    if not len(places):
        return torch.full(distance.shape[:2], -1, device=distance.device)
    found = []
    for slot in range(distance.shape[1]):
        nearest = distance[:, slot].min(1)
        found.append(torch.where(nearest.values <= limit, nearest.indices, -1))
        distance = distance.masked_fill((places == found[-1][:, None])[:, None], torch.inf)
    return torch.stack(found, 1)


def reliability(confidence: Tensor, right: Tensor, bins: int = 10) -> Reliability:
    """Count forecasts, (...) each, by bins of their confidence; one of exactly 1 belongs to the last bin.

    Raises:
        ValueError: shapes differ, or a confidence lies outside [0, 1] (by more than rounding).
    """
    if confidence.shape != right.shape:
        raise ValueError(
            f"confidence and right must have the same shape, got {tuple(confidence.shape)} and {tuple(right.shape)}: "
            "pass whether each came true"
        )
    sure = confidence.detach().flatten().float()
    wrong = (sure < -1e-4) | (sure > 1 + 1e-4)  # a diverged model's nan is none, but makes the figures nan
    if wrong.any():
        raise ValueError(
            f"confidence must lie in [0, 1], got {sure[wrong][0].item():g}: pass probabilities, not their logarithms"
        )
    place = (sure * bins).long().clamp(0, bins - 1)
    member = (place[:, None] == torch.arange(bins, device=place.device)).float()
    return Reliability(member.sum(0), sure @ member, right.flatten().float() @ member)


def calibration_error(table: Reliability) -> Tensor:
    """Expected calibration error, scalar in [0, 1]; nan of no forecasts.

    The mean over forecasts of the gap between a bin's mean confidence and the share of it that came true (Naeini et al.
    2015; Guo et al. 2017, equation 3). Of n right forecasts spread over [0, 1] it is about sqrt(K / n) / 3 by chance.
    """
    return (table.confidence - table.right).abs().sum() / table.number.sum()


def central_mass(gap: Tensor, sd: Tensor, period: Tensor | None = None) -> Tensor:
    """How much of a Gaussian posterior lies nearer to its mean than the truth does, in [0, 1], elementwise.

    The truth lies in the central interval of level L if this is at most L, and it is uniform where the posterior is
    right (Gneiting et al. 2007 on the probability integral transform).

    Args:
        gap: truth less mean. sd: > 0, broadcasts with `gap`.
        period: of an angle, whose Gaussian is wrapped on it; nan is returned where it is 0. None: no angle.
    """
    if period is None:
        return torch.special.erf((gap / sd).abs() / math.sqrt(2))
    seen = period > 0
    turn = torch.where(seen, period, 1.0)
    near, relative = wrapped(gap, turn).abs() / turn, (sd / turn).clamp_max(1.0)
    turns = torch.arange(-TURNS, TURNS + 1, device=gap.device, dtype=gap.dtype)
    ends = [torch.special.ndtr((turns + side * near[..., None]) / relative[..., None]) for side in (1, -1)]
    return torch.where(seen, (ends[0] - ends[1]).sum(-1).clamp(0, 1), math.nan)


def power_scores(posterior: Tensor, true: Tensor, powers: Tensor) -> Tensor:
    """Log score in nats of a categorical posterior raised to each of ``powers``, summed over what it is of: (G, 2).

    First that of the true answers, then that of one drawn from all K, equally likely (see ``best_power``).

    Args:
        posterior: (B, K), of the count q(n | x) or of an object's identity. true: (B,) whole numbers below K.
        powers: (G,), > 0.
    """
    log_q = posterior.clamp_min(torch.finfo(posterior.dtype).tiny).log()
    tempered = (powers[:, None, None] * log_q).log_softmax(-1)
    truth = true.long()[:, None].expand(len(powers), -1, 1)
    return torch.stack([tempered.gather(2, truth).sum((1, 2)), tempered.mean(2).sum(1)], 1)


def best_power(scores: Tensor, answers: Tensor, powers: Tensor) -> Tensor:
    """The power of a categorical posterior under which the true answers are likeliest, scalar; 1 where there are none.

    Temperature scaling (Guo et al. 2017, section 4.2), the power being 1 / temperature: the likeliest answer stays. As
    if one more had been seen, that was drawn from all: a posterior that is always right has then a finite power.
    Between the powers tried, the maximum of a parabola in their logarithm.

    Args:
        scores: (G, 2) of ``power_scores``, of so many ``answers`` (scalar). powers: (G,), a geometric sequence.
    """
    if not answers > 0:
        return torch.ones_like(powers[0])
    total = scores[:, 0] + scores[:, 1] / answers
    best = total.argmax().clamp(1, len(powers) - 2)
    below, here, above = total[best - 1], total[best], total[best + 1]
    bend = below + above - 2 * here
    shift = torch.where(bend < 0, (below - above) / (2 * bend), 0.0).clamp(-1, 1)
    return powers[best] * (powers[1] / powers[0]) ** shift


def covering_power(covered: Tensor, pairs: Tensor, powers: Tensor) -> Tensor:
    """The power of each coordinate's posterior whose intervals come nearest to covering what they say: (P,).

    The absolute differences between level and coverage, summed over ``LEVELS``, are least; among equals the power
    nearest to 1. A few outliers do not move it, as they would a likelihood's maximum. 1 where there are no pairs.

    Args:
        covered: (G, L, P), how many truths lay in the interval of each level. pairs: (P,). powers: (G,).
    """
    level = torch.tensor(LEVELS, device=covered.device)[:, None]
    miss = (covered / pairs.clamp_min(1) - level).abs().sum(1)
    far = powers.log().abs()[:, None] * 1e-6
    return torch.where(pairs > 0, powers[(miss + far).argmin(0)], 1.0)


def wrapped(gap: Tensor, period: Tensor) -> Tensor:
    """The gap between two angles within half a period of 0, elementwise; periods > 0."""
    return gap - period * (gap / period).round()


def _check_positions(position: Tensor, true_position: Tensor, true_count: Tensor) -> None:
    ours, theirs = tuple(position.shape), tuple(true_position.shape)
    if len(ours) != 3 or len(theirs) != 3 or (ours[0], ours[2]) != (theirs[0], theirs[2]):
        raise ValueError(
            f"position and true_position must have shapes (scenes, slots, coordinates) of the same scenes and "
            f"coordinates, got {ours} and {theirs}: leave out the coordinates that one side lacks"
        )
    if tuple(true_count.shape) != ours[:1]:
        raise ValueError(f"true_count must have shape (scenes,) = {ours[:1]}, got {tuple(true_count.shape)}")
