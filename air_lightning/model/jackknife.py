"""How much less images tell of poses than the likelihood says, where no renderer draws them exactly.

A likelihood takes pixels for independent. What a renderer cannot draw, soft edges or a shade, is off in many pixels
side by side, and pulls at the pose as one. How far poses move where a part of their object is left out shows that,
without any truth: the moving-block jackknife (Künsch 1989, Annals of Statistics 17), one Newton step for each fit.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from air_lightning.model.calibration import Powers
from air_lightning.model.laplace import convex, derivatives, pose_moves, prior_precision
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, periods_of
from renderers.base import Renderer

PARTS = 3
"""Blocks along a side of an object's window."""
LITTLE = 0.5
"""Share of a pose's precision that is the prior's, from which on the image tells too little of it."""
MOST = 0.75
"""Leverage of a block: more is taken for that, or poses that hang on one block alone would go anywhere."""
FEWEST = 10
"""Objects that a coordinate must be told by."""


@torch.no_grad()
def variance_ratios(renderer: Renderer, observation: Observation, slots: Slots, count: Tensor) -> Tensor:
    """The jackknife's variance of every object's unconstrained pose over Laplace's (``laplace_sd``), (M, P).

    nan for coordinates of which an image tells little. Of smooth images that the likelihood has right it is about 1, of
    such with hard edges about 2, and of others as much larger as their poses are less sure.

    Args:
        observation: B images and their noise.
        slots: fitted to them; the first ``count`` (B,) are there, M in all.
    """
    ratios = []
    for image, number in enumerate(count.tolist()):
        index = torch.tensor([image], device=slots.where.device)
        seen, there = observation.of(index), slots.leading(index, number)
        ratios += [_of_object(renderer, seen, there, i) for i in range(number)]
    return torch.stack(ratios) if ratios else slots.where.new_empty(0, slots.where.shape[-1])


def powers_without_truth(ratios: Tensor, names: tuple[str, ...], searched: bool) -> Powers:
    """The powers of refined explanations that ``variance_ratios`` (M, P) of coordinates of these names call for.

    Each coordinate's is one over the median of its own: what share of its evidence an image tells, at most 1; 1 where
    fewer than ``FEWEST`` objects tell anything. The count's is that of all, if a search has it from the evidence, too.
    """
    pose = {name: _share(own) for name, own in zip(names, ratios.unbind(1))}
    enough = searched and int((~ratios.isnan()).any(1).sum()) >= FEWEST
    return Powers(_share(ratios.flatten()) if enough else 1.0, pose, refined=True, searched=searched)


def objects_told(ratios: Tensor, names: tuple[str, ...]) -> dict[str, int]:
    """By how many objects each coordinate is told, and how many there are."""
    told = (~ratios.isnan()).sum(0).tolist()
    return {"objects found": len(ratios)} | dict(zip(names, told))


def basis(told: Mapping[str, int]) -> str:
    """How sure explanations are without a truth, by ``objects_told``."""
    found = told["objects found"]
    if found < FEWEST:
        return (
            f"as sure as the likelihood has it: {found} objects were found, and from {FEWEST} on they tell how sure "
            "poses are"
        )
    return "as sure as parts of objects agree"


def said_of(powers: Powers, told: Mapping[str, int]) -> str:
    """A line on powers without a truth, and on what too few objects tell of, as ``objects_told`` has them."""
    if told["objects found"] < FEWEST:
        return basis(told)
    few = ", ".join(name for name, number in told.items() if number < FEWEST)
    return f"{basis(told)}, to the power of {powers}" + (f" (fewer than {FEWEST} objects tell of {few})" if few else "")


def _share(ratios: Tensor) -> float:
    told = ratios[~ratios.isnan()]
    return 1.0 if len(told) < FEWEST else 1 / max(1.0, float(told.median()))


def _of_object(renderer: Renderer, observation: Observation, slots: Slots, i: int) -> Tensor:
    """The ratios (P,) of slot i of one image.

    What pulls together over some way is cut by the blocks' edges. What that hides falls as one over their side, and so
    twice the variance less that of blocks of half the side is without it (Politis & Romano 1995, Journal of Time Series
    Analysis 16).
    """
    gradient, curvature = (part.double() for part in _local_maps(renderer, observation, slots, i))
    place, what = slots.where[:, i], slots.what[:, i]
    precision = prior_precision(renderer.where, periods_of(renderer, what, place))[0].double()
    whole = convex(curvature.sum((0, 1))) + precision.diag()
    laplace = torch.linalg.inv(whole).diagonal()
    side = max(2, round(_window_side(renderer.at(observation.values), place) / PARTS))
    large, small = (_jackknifed(gradient, curvature, whole, each) for each in (side, side // 2))
    ratio = (2 * large - small) / laplace
    return ratio.masked_fill(laplace * precision > LITTLE, torch.nan).to(slots.where)


def _jackknifed(gradient: Tensor, curvature: Tensor, whole: Tensor, side: int) -> Tensor:
    """Variances (P,) of a pose whose maps and precision (P, P) these are, each block of this side left out once.

    Without a block of leverage M, its share of the precision, a pose moves by (1 - M)^-1 times what the block pulls.
    """
    places = len(whole)
    sums, share = _blocks(torch.cat([gradient, curvature.flatten(2)], 2), side)
    pull, bend = sums[:, :places], sums[:, places:].reshape(-1, places, places)
    root = torch.linalg.inv(torch.linalg.cholesky(whole))
    leverage, axes = torch.linalg.eigh(root @ bend @ root.mT)
    moves = axes.mT @ (pull @ root.mT).unsqueeze(2) / (1 - leverage.clamp(max=MOST)).unsqueeze(2)
    return share * ((axes @ moves).squeeze(2) @ root).square().sum(0)


def _local_maps(renderer: Renderer, observation: Observation, slots: Slots, i: int) -> tuple[Tensor, Tensor]:
    """What every pixel says of the unconstrained pose of slot i: gradient (H, W, P) and curvature (H, W, P, P)."""
    space = renderer.where
    steps = space.steps(slots.where)
    moves = pose_moves(steps)
    where = slots.where.expand(len(moves), -1, -1).clone()
    where[:, i] += moves
    what = slots.what.expand(len(moves), *slots.what.shape[1:])
    values, behind = observation.values, observation.background
    if values is not None:
        values = values.expand(len(moves), -1)
    if behind is not None and behind.dim() == 4:
        behind = behind.expand(len(moves), -1, -1, -1)
    canvas = renderer.at(values).render(what, where, behind)[:, -1]
    losses = observation.loss(canvas, observation.images).sum(1).movedim(0, -1)
    return derivatives(losses, space.slopes(space.unconstrain(slots.where[0, i])) / steps)


def _window_side(renderer: Renderer, where: Tensor) -> float:
    """Of the window of one pose (1, P), pixels: that of a square of its area."""
    height, width = renderer.image_shape[1:]
    area = torch.linalg.det(renderer.window(where)[0, :, :2]).abs() * height * width
    return float(area.sqrt())


def _blocks(maps: Tensor, side: int) -> tuple[Tensor, float]:
    """Sums (W, D) of maps (H, W, D) over all square blocks that tell anything, and what share of the sum over blocks
    is that over disjoint ones, times the jackknife's own factor."""
    stride = max(1, side // 4)
    padded = F.pad(maps.movedim(2, 0), (side - 1,) * 4)
    sums = side**2 * F.avg_pool2d(padded, side, stride).flatten(1).T
    sums = sums[(sums != 0).any(1)]
    disjoint = (stride / side) ** 2
    return sums, disjoint * max(0.0, 1 - 1 / max(1.0, disjoint * len(sums)))
