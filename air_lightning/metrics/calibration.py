"""Expected beside realised: whether posteriors are as sure as they are right. Pure functions of tensors.

Shapes: B scenes, N inferred slots, T true slots, D position coordinates, K bins, G powers.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from air_lightning.distributions import corrected

LEVELS = (0.5, 0.9)
"""The central intervals of a pose whose coverage is measured."""
STARTS, DOUBTS = (1.0, 0.1, 0.01, 4.0), (0.0, 0.01, 0.1)
"""Powers and doubts that a correction's fit starts from; where it starts from no doubt there is none."""
POWER_SD, TILT_SD, DOUBT_COST, TRUST = 2.0, 1.0, 1.0, 4.0
"""A priori the logarithm of a correction's power, and its tilt in nats, are normal of these sds; a doubt above 0 costs
so many nats, and its density is proportional to (1 - doubt) to the power of ``TRUST``."""
LEAST = -1e4
"""Nats below which a posterior is not told apart by the fit."""
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


class Correction(NamedTuple):
    """What makes a categorical posterior as sure as it is right: see ``corrected``. The default changes nothing.

    Attributes:
        power: > 0; below 1 the posterior is made less sure. tilt: nats for each object more, above 0 where counts come
            out too low. doubt: in [0, 1), the share of cases in which the posterior says nothing.
    """

    power: float = 1.0
    tilt: float = 0.0
    doubt: float = 0.0


def fit_correction(log_q: Tensor, true: Tensor, tilted: bool) -> Correction:
    """The correction under which the true answers are likeliest; none where there are no answers.

    As if one more case had been seen, whose answer was drawn from all K, equally likely: a posterior that is always
    right is then not made certain. What the cases do not say is left as it is: the logarithm of the power is held to be
    normal a priori (sd 2), the tilt, too (sd 1 nat), and a doubt small (density 5 (1 - doubt)^4), if it is worth a nat.

    Args:
        log_q: (M, K), of M counts q(n | x), or of so many objects' identities, up to a constant each. true: (M,) whole
            numbers below K. tilted: whether the answers are numbers, so that a tilt may be fitted.
    Raises:
        ValueError: log_q is nan somewhere.
    """
    if not len(true):
        return Correction()
    if log_q.isnan().any():
        raise ValueError("log_q is nan: a model that gives no probabilities cannot be calibrated")
    numbers, answers = log_q.detach().cpu().double().numpy(), true.cpu().long().numpy()
    with torch.inference_mode(False), torch.enable_grad():  # an evaluation may have forbidden gradients
        known = torch.from_numpy(numbers).log_softmax(1).clamp_min(LEAST), torch.from_numpy(answers).unsqueeze(1)
        # no doubt comes first: it is kept where another is not better
        fits = [_fitted(*known, Correction(power, 0.0, doubt), tilted) for doubt in DOUBTS for power in STARTS]
    return min(fits, key=lambda fit: fit[0])[1]


def _fitted(log_q: Tensor, true: Tensor, start: Correction, tilted: bool) -> tuple[float, Correction]:
    """What is lost, in nats, at a minimum near a start, and where that is; a doubt of 0 stays."""

    def correction(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return numbers[0].exp(), numbers[1], numbers[2].sigmoid() if start.doubt else torch.zeros(())

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        free = torch.tensor(numbers, requires_grad=True)
        log_c = corrected(log_q, *correction(free))
        unlikely = 0.5 * (free[0] / POWER_SD) ** 2 + 0.5 * (free[1] / TILT_SD) ** 2
        if start.doubt:
            unlikely = unlikely + DOUBT_COST - TRUST * torch.nn.functional.logsigmoid(-free[2])
        lost = unlikely - log_c.gather(1, true).sum() - log_c.mean()
        (slope,) = torch.autograd.grad(lost, free)
        return float(lost.detach()), slope.numpy()

    begin = [math.log(start.power), 0.0, math.log(start.doubt / (1 - start.doubt)) if start.doubt else 0.0]
    bounds = [(-10.0, 5.0), (-10.0, 10.0) if tilted else (0.0, 0.0), (-12.0, 6.0)]
    found = minimize(loss, np.array(begin), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.fun), Correction(*(float(part) for part in correction(torch.from_numpy(found.x))))


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
