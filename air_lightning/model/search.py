"""Search: objects dropped, merged and added by what they are worth, after the network's own explanation."""

from collections.abc import Callable
from copy import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from air_lightning.inference import InferenceNetwork
from air_lightning.inference.heads import image_grid
from air_lightning.model.aggregate import AggregatePosterior
from air_lightning.model.arrangements import log_arrangements
from air_lightning.model.descent import Descent
from air_lightning.model.evidence import evidence, log_likelihoods, slot_kl
from air_lightning.model.laplace import fitted_kl, settled, with_fitted_posterior
from air_lightning.model.objective import given_shown
from air_lightning.model.observation import Observation
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import Slots, next_slot
from renderers.base import Renderer
from renderers.compositing import coverage

IMPOSSIBLE = 1e5
"""Nats that no image's numbers are worth."""
SETTLING = 3
"""Steps to the mode of a fitted pose's posterior."""


class Scene(NamedTuple):
    """What is to be explained, and what with. log_prior: log p(n), (N + 1,)."""

    search: "Search"
    renderer: Renderer
    network: InferenceNetwork
    observation: Observation
    log_prior: Tensor

    def kl(self, slots: Slots) -> Tensor:
        return self.search.kl(self.renderer, slots)

    def evidence(self, slots: Slots) -> Tensor:
        """F_n, (B, N + 1), of the slots as they stand."""
        canvases = self.renderer.render(slots.what, slots.where, self.observation.background)
        found = evidence(log_likelihoods(canvases, self.observation), self.kl(slots))
        return possible(self.renderer, slots, found) if self.search.solid else found


class Search:
    """Death, birth and merging of objects, each with a refit, kept where the explanation is worth more.

    As reversible jumps do (Green 1995), but uphill. First the slots are refitted and put in order: the one that
    is missed least goes last, then the one missed least by the others, and so on, so that the slots that pay come
    first and those that do not are dropped. Each round then tries

    - one more: the network looks at what the present objects leave unexplained. In every other round what they cover is
      hidden from it, so that their own misfit draws no slot; and always where it has looked in vain (inhibition of
      return, Itti, Koch & Niebur 1998);
    - one for two: of two that overlap (another pair in every round, the nearest first) both are taken away, and the
      network looks again at what the others leave; or the one that is missed less, and the other is fitted alone;
    - one afresh: that in whose window most is left unexplained (in the next round the second) is taken away, and the
      network looks twice at what the others leave, so that one that stands for two is split. With ``halves`` twice
      more: first one half of that window is hidden, left or right (in the next round the other), then upper or lower.

    An explanation is worth ``log sum_n p(n) A_n exp(power F_n - cost n)``, with F_n of the first n of its slots and A_n
    for their other orders and other slots (``log_arrangements``), and that sum's terms are the posterior of the count.
    What was looked at and does not pay stays among the last slots, and counts there. For any renderer and network. With
    the model's ``aggregate`` F_n counts besides, in full, by how many nats its objects are nearer to those of the
    training images than to the prior, less their mean.

    Args:
        rounds: of adding and merging; 0 drops and reorders only.
        power: of the evidence, in (0, 1]; the count estimator's.
        cost: nats that every object costs besides its KL and the prior. Above 0 for images that the renderer cannot
            draw exactly, whose misfit a superfluous object might explain: about what such an object gains.
        refit: Newton steps after each change, with the likeliest identities and angles tried; 0: none. With ``laplace``
            three more follow, to the mode of each pose's posterior, prior and all.
        margin: nats by which another explanation must be worth more than the one before.
        solid: no explanation has two objects that pass through one another (``Renderer.intersecting``).
        laplace: how sure a pose is, is taken from its fit (Laplace's approximation) and not from the network, which is
            less sure; a false object then costs what it must. For noise that the likelihood has right.
        halves: look in one half of an object's window, too. For renderers whose code can draw two objects as one.
        descent: fits poses and codes by gradient after each change, the new object's first, then all together; for
            renderers that ``Descent`` is for. ``refit`` fits poses alone, and may then be 0.
    Errors:
        ValueError for values out of range.
    """

    def __init__(
        self,
        rounds: int = 3,
        power: float = 1.0,
        cost: float = 0.0,
        refit: int = 4,
        margin: float = 0.1,
        solid: bool = False,
        laplace: bool = False,
        halves: bool = False,
        descent: Descent | None = None,
    ) -> None:
        for name, number in (("rounds", rounds), ("refit", refit), ("cost", cost), ("margin", margin)):
            if not number >= 0:
                raise ValueError(f"search's {name} must not be negative, got {number}")
        if not 0 < power <= 1:
            raise ValueError(f"search's power must lie in (0, 1], got {power}: the count estimator's is right")
        self.rounds, self.power, self.cost, self.margin = rounds, power, cost, margin
        self.solid, self.laplace, self.halves, self.descent = solid, laplace, halves, descent
        self.refinement = Refinement(refit)
        self.aggregate: AggregatePosterior | None = None

    def going_by(self, aggregate: AggregatePosterior | None) -> "Search":
        """The same search, that takes the aggregate posterior in the place of the prior of objects."""
        search = copy(self)
        search.aggregate = aggregate
        return search

    def kl(self, renderer: Renderer, slots: Slots) -> Tensor:
        """What each slot that a search has left takes off the evidence, (B, N) nats.

        The evidence is to count ``power`` of its nats, and what the aggregate posterior says of an object all of them.
        """
        kl = (fitted_kl if self.laplace else slot_kl)(renderer, slots)
        return kl if self.aggregate is None else kl - self.aggregate.gain(renderer, slots) / self.power

    def log_posterior(self, renderer: Renderer, slots: Slots, evidence: Tensor, log_prior: Tensor) -> Tensor:
        """log q(n | x), (B, N + 1), of the evidence (B, N + 1) of the first n slots.

        With ``solid`` a slot that passes through another is none; but one more object may be elsewhere, unseen, and
        costs its KL. What cannot be as it stands is never the likeliest.
        """
        if not self.solid:
            return self._terms(renderer, evidence, log_prior).log_softmax(1)
        seen = self._terms(renderer, possible(renderer, slots, evidence), log_prior)
        clash = _clash(renderer, slots)
        unseen = F.pad(torch.where(clash, -self.kl(renderer, slots), evidence.diff(dim=1)).cumsum(1), (1, 0))
        terms = self._terms(renderer, evidence[:, :1] + unseen, log_prior)
        capped = torch.minimum(terms, seen.amax(1, keepdim=True) - self.margin)
        return torch.where(F.pad(clash.cummax(1).values, (1, 0)), capped, terms).log_softmax(1)

    def standing(self, renderer: Renderer, slots: Slots, log_q: Tensor) -> Tensor:
        """log q(n | x), (B, N + 1), in which what cannot be as it stands is again no likelier than what can.

        A correction of the count, a tilt above all, may have made it so.
        """
        if not self.solid:
            return log_q
        clash = F.pad(_clash(renderer, slots).cummax(1).values, (1, 0))
        most = log_q.masked_fill(clash, -torch.inf).amax(1, keepdim=True)
        return torch.where(clash, torch.minimum(log_q, most), log_q).log_softmax(1)

    @torch.no_grad()
    def __call__(
        self,
        renderer: Renderer,
        network: InferenceNetwork,
        observation: Observation,
        slots: Slots,
        log_prior: Tensor,
    ) -> Slots:
        """The best explanation found of the observed images, given the network's own. log_prior: (N + 1,)."""
        scene = Scene(self, renderer, network, observation, log_prior)
        best = self._better(scene, self._sure(scene, slots), slots)
        passed = torch.zeros_like(observation.images[:, :1], dtype=torch.bool)
        for k in range(self.rounds):
            best, passed = self._added(scene, best, passed, hide=k % 2 == 0)
            for alone in (False, True):
                best = self._merged(scene, best, k, alone)
            for axis in (None, 0, 1) if self.halves else (None,):
                best = self._afresh(scene, best, k, axis)
        return best

    @torch.no_grad()
    def ordered(
        self,
        renderer: Renderer,
        network: InferenceNetwork,
        observation: Observation,
        slots: Slots,
        log_prior: Tensor,
    ) -> Slots:
        """Slots whose poses have changed since they were searched, in order again, those that do not pay last."""
        return self._ordered(Scene(self, renderer, network, observation, log_prior), slots)

    def _terms(self, renderer: Renderer, evidence: Tensor, log_prior: Tensor) -> Tensor:
        """log p(n, x), (B, N + 1), of F_n: what is worth as much in another order, or of other slots, counts too."""
        worth = self.power * evidence - self.cost * torch.arange(len(log_prior), device=evidence.device)
        # what lies over what is said by the order: another one is another image
        others = 0.0 if renderer.compositing == "over" else log_arrangements(worth.diff(dim=1))
        return worth + others + log_prior

    def _worth(self, scene: Scene, slots: Slots) -> Tensor:
        return self._terms(scene.renderer, scene.evidence(slots), scene.log_prior)

    def _count(self, scene: Scene, slots: Slots) -> Tensor:
        return self._worth(scene, slots).argmax(1)

    def _better(self, scene: Scene, slots: Slots, other: Slots) -> Slots:
        """Image by image the slots as they were, or others, in order, if these are worth more.

        Others are refitted: all of them, or those alone that are new, for steps from afar may lead away from a fit that
        had ended. With ``laplace`` all of them, for it expands around the mode of each.
        """
        fitted = self._refitted(scene, other)
        new = (other.where.unsqueeze(2) != slots.where.unsqueeze(1)).any(3).all(2)
        best, worth = slots, self._worth(scene, slots).logsumexp(1) + self.margin
        for each in (fitted,) if self.laplace else (fitted, fitted.where_true(new, other)):
            ordered = self._ordered(scene, each)
            value = self._worth(scene, ordered).logsumexp(1)
            best, worth = ordered.where_true(value > worth, best), torch.maximum(value, worth)
        return best

    def _refitted(self, scene: Scene, slots: Slots) -> Slots:
        kl = scene.kl(slots)
        fitted = self.refinement(scene.renderer, scene.observation, slots, kl, scene.log_prior).with_poses_kept()
        if self.descent is not None:
            count = self._count(scene, fitted)
            fitted = self.descent.together(scene.renderer, scene.observation, fitted, count)
        return self._sure(scene, fitted, SETTLING if self.refinement.iterations else 0)

    def _sure(self, scene: Scene, slots: Slots, steps: int = 0) -> Slots:
        """The slots, their poses as sure as the search takes them to be, after some steps to the posterior's mode."""
        if not self.laplace:
            return slots
        weights = given_shown((scene.evidence(slots) + scene.log_prior).softmax(1))
        slots = settled(scene.renderer, scene.observation, slots, weights, steps)
        return with_fitted_posterior(scene.renderer, scene.observation, slots, weights)

    def _ordered(self, scene: Scene, slots: Slots) -> Slots:
        """The slots by how much they are missed. Those that lie over one another keep their order among the best."""
        order, gains = _elimination(scene, slots)
        if scene.renderer.compositing != "over":
            return slots.at(order)
        chain = F.pad(gains.cumsum(1), (1, 0))
        count = self._terms(scene.renderer, chain, scene.log_prior).argmax(1, keepdim=True)
        return slots.at((order.argsort(1) >= count).byte().argsort(dim=1, stable=True))

    def _added(self, scene: Scene, slots: Slots, passed: Tensor, hide: bool) -> tuple[Slots, Tensor]:
        """One more object where there is a free slot, and the pixels (B, 1, H, W) where one was looked for in vain."""
        count, looked = self._count(scene, slots), torch.zeros_like(passed)

        def add(part: Scene, here: Slots, rows: Tensor) -> Slots:
            room = _with_room(here, count[rows])
            found, looked[rows] = _extended(part, room, count[rows], hide, passed[rows])
            return found

        best = self._tried(scene, slots, count < slots.what.shape[1], add)
        in_vain = (self._count(scene, best) <= count).view(-1, 1, 1, 1)
        return best, passed | (looked & in_vain)

    def _merged(self, scene: Scene, slots: Slots, k: int, alone: bool) -> Slots:
        """One object for two, the k-th nearest pair of those that overlap, and round again: the network's, or one of
        the two, ``alone``."""
        count = self._count(scene, slots)
        nearness = _nearness(scene.renderer, slots, count)
        if not nearness.shape[1]:
            return slots
        near = (nearness < 1).sum(1)
        rank = (k % near.clamp_min(1)).unsqueeze(1)
        pair = nearness.argsort(1).gather(1, rank).squeeze(1)
        pairs = _pairs(slots.what.shape[1], pair.device).T[pair]

        def merge(part: Scene, here: Slots, rows: Tensor) -> Slots:
            left = _without(here, pairs[rows], count[rows])
            return left if alone else _extended(part, left, count[rows] - 2)[0]

        return self._tried(scene, slots, near > 0, merge)

    def _afresh(self, scene: Scene, slots: Slots, k: int, axis: int | None) -> Slots:
        """One or two objects for the one that leaves the k-th most unexplained.

        ``axis``: along which a half of its window is hidden from the first look; None: none is.
        """
        count = self._count(scene, slots)
        misfit = _misfit(scene, slots, count)
        if k >= misfit.shape[1]:
            return slots
        value, worst = misfit.kthvalue(misfit.shape[1] - k, 1)

        def again(part: Scene, here: Slots, rows: Tensor) -> Slots:
            indices = torch.arange(here.what.shape[1], device=rows.device)
            last = (indices == worst[rows].unsqueeze(1)).long() + 2 * (indices >= count[rows].unsqueeze(1))
            hidden = None if axis is None else _half(part.renderer, here.where, worst[rows], axis, k % 2 == 1)
            left = here.at(last.argsort(dim=1, stable=True))
            once, _ = _extended(part, left, count[rows] - 1, passed=hidden)
            return _extended(part, once, count[rows])[0]

        return self._tried(scene, slots, value > 0, again)

    def _tried(
        self, scene: Scene, slots: Slots, possible: Tensor, move: Callable[[Scene, Slots, Tensor], Slots]
    ) -> Slots:
        """The slots, changed by a move where it is possible, (B,), and worth it."""
        rows = possible.nonzero().squeeze(1)
        if not len(rows):
            return slots
        part = scene._replace(renderer=scene.renderer.of(rows), observation=scene.observation.of(rows))
        here = slots.of(rows)
        better = self._better(part, here, move(part, here, rows))
        return Slots(*(whole.index_copy(0, rows, some) for whole, some in zip(slots, better)))


def _elimination(scene: Scene, slots: Slots) -> tuple[Tensor, Tensor]:
    """Slots (B, N) in the order in which they are missed, most first, and what each adds to F given those before it."""
    images, loss, background = scene.observation[:3]
    kl = scene.kl(slots)
    left = torch.arange(kl.shape[1], device=kl.device).expand_as(kl)
    order, gains = [], []
    while left.shape[1]:
        here = slots.at(left)
        own = here.what.unsqueeze(2), here.where.unsqueeze(2)
        losses = scene.renderer.swap_losses(images, here.what, here.where, *own, loss, background)
        gain = -losses[:, :, 0, -1] - kl.gather(1, left)
        if scene.search.solid:
            gain = gain - IMPOSSIBLE * scene.renderer.intersecting(here.what, here.where).any(2)
        weakest = gain.argmin(1, keepdim=True)
        order.append(left.gather(1, weakest))
        gains.append(gain.gather(1, weakest))
        others = torch.arange(left.shape[1], device=kl.device) != weakest
        left = left[others].view(len(left), left.shape[1] - 1)
    return torch.cat(order[::-1], 1), torch.cat(gains[::-1], 1)


def possible(renderer: Renderer, slots: Slots, evidence: Tensor) -> Tensor:
    """The evidence (B, N + 1) of the first n slots, where two of them intersect worth less than any other."""
    clash = _clash(renderer, slots).cummax(1).values
    return evidence - IMPOSSIBLE * F.pad(clash.to(evidence), (1, 0))


def _clash(renderer: Renderer, slots: Slots) -> Tensor:
    """Which slots (B, N) intersect one before them."""
    return renderer.intersecting(slots.what, slots.where).tril().any(2)


def _with_room(slots: Slots, count: Tensor) -> Slots:
    """The slots, the last one, which pays least, after the first ``count`` (B,): what replaces it drops no other."""
    indices = torch.arange(slots.what.shape[1], device=count.device)
    place = torch.where(indices == indices[-1], count.unsqueeze(1) - 0.5, indices)
    return slots.at(place.argsort(1))


def _without(slots: Slots, pairs: Tensor, count: Tensor) -> Slots:
    """The slots, the first of each pair (B, 2) last of those present, ``count`` (B,) with both, and not the second.

    At the very end is a copy of a slot that is absent in its place, or where none is, of the first: neither pays twice.
    """
    indices = torch.arange(slots.what.shape[1], device=count.device)
    place = (indices == pairs[:, :1]) + 2 * (indices >= count.unsqueeze(1)) + 3 * (indices == pairs[:, 1:])
    order = place.argsort(dim=1, stable=True)
    full = (count == len(indices)).unsqueeze(1)
    return slots.at(torch.cat([order[:, :-1], torch.where(full, order[:, :1], order[:, -2:-1])], 1))


def _extended(
    scene: Scene, slots: Slots, count: Tensor, hide: bool = False, passed: Tensor | None = None
) -> tuple[Slots, Tensor]:
    """The slots with another one after the first ``count`` (B,), which the network finds in what these leave.

    ``hide``: what these cover is hidden from it. ``passed``: pixels (B, 1, H, W) that are hidden, too. The second value
    are those by which it was drawn, (B, 1, H, W): where it has looked, and where the object is.
    """
    renderer, network, images = scene.renderer, scene.network.at(scene.renderer), scene.observation.images
    drawn = canvases = renderer.render(slots.what, slots.where, scene.observation.background)
    if hide:
        canvases = torch.where(_covered(renderer, slots), images.unsqueeze(1), canvases)
    if passed is not None:
        canvases = torch.where(passed.unsqueeze(1), images.unsqueeze(1), canvases)
    state = network.start(images, scene.observation.whitening)
    looked = torch.zeros_like(images[:, :1], dtype=torch.bool)
    indices = torch.arange(slots.what.shape[1], device=images.device)
    for k in indices.tolist():
        found, state = next_slot(renderer, network, images, canvases[:, k], state, sample=False)
        found, here = Slots(*(part.unsqueeze(1) for part in found)), count == k
        window = network.looked_at(state)
        seen = _inside(renderer, renderer.window(found.where)[:, 0])
        seen = seen if window is None else seen | _inside(renderer, window)
        looked = torch.where(here.view(-1, 1, 1, 1), seen, looked)
        slots = found.where_true(here.unsqueeze(1) & (indices == k), slots)
        state = network.observe(state, slots.what[:, k], slots.where[:, k])
    return _settled(scene, slots, count, drawn), looked


def _settled(scene: Scene, slots: Slots, place: Tensor, canvases: Tensor) -> Slots:
    """The slots, that at each image's ``place`` (B,) fitted upon the canvas of those before it; past the last is none.

    canvases: (B, N + 1, C, H, W), of the first n slots.
    """
    if scene.search.descent is None:
        return slots
    indices = torch.arange(slots.what.shape[1], device=place.device)
    rows, inside = torch.arange(len(place), device=place.device), place.clamp_max(len(indices) - 1)
    before = canvases[rows, inside]
    new = Slots(*(part[rows, inside] for part in slots))
    new = scene.search.descent.settled(scene.renderer, scene.observation, before, new)
    everywhere = Slots(*(part.unsqueeze(1).expand_as(old) for part, old in zip(new, slots)))
    return everywhere.where_true(indices == place.unsqueeze(1), slots)


def _covered(renderer: Renderer, slots: Slots) -> Tensor:
    """Pixels (B, N + 1, 1, H, W) that the first n slots cover, and those beside them."""
    cover = coverage(renderer.layers(slots.what, slots.where), renderer.compositing)
    shown = (cover > 0.2 * cover.amax((-2, -1), keepdim=True)).to(cover)
    shown = F.max_pool2d(F.adaptive_max_pool2d(shown, renderer.image_shape[1:]), 3, 1, 1)
    return F.pad(shown.cummax(1).values, (0, 0, 0, 0, 1, 0)).unsqueeze(2) > 0


def _spans(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Middles and half sides (..., 2) of upright rectangles about windows (..., 2, 3)."""
    return windows[..., 2], windows[..., :2].abs().sum(-1)


def _inside(renderer: Renderer, windows: Tensor) -> Tensor:
    """Pixels (B, 1, H, W) in windows (B, 2, 3)."""
    middle, half = _spans(windows)
    _, height, width = renderer.image_shape
    grid = image_grid(height, width, windows.device)
    return ((grid - middle[..., None, None]).abs() <= half[..., None, None]).all(1, keepdim=True)


def _half(renderer: Renderer, where: Tensor, which: Tensor, axis: int, upper: bool) -> Tensor:
    """Pixels (B, 1, H, W) in one half, along an axis of the image, of the window of a slot (B,) of poses (B, N, P)."""
    windows = renderer.window(where)[torch.arange(len(which), device=which.device), which]
    _, height, width = renderer.image_shape
    grid = image_grid(height, width, windows.device)[axis]
    middle = windows[:, axis, 2, None, None]
    return _inside(renderer, windows) & ((grid > middle) if upper else (grid < middle)).unsqueeze(1)


def _misfit(scene: Scene, slots: Slots, count: Tensor) -> Tensor:
    """What the first ``count`` leave of the image in the window of each, on average, (B, N); 0 of the others."""
    canvases = scene.renderer.render(slots.what, slots.where, scene.observation.background)
    rows = torch.arange(len(count), device=count.device)
    left = scene.observation.images - canvases[rows, count]
    if scene.observation.whitening is not None:
        left = left * scene.observation.whitening
    left = left.abs().mean(1, keepdim=True)
    windows = scene.renderer.window(slots.where)
    inside = torch.cat([_inside(scene.renderer, each) for each in windows.unbind(1)], 1)
    mean = (left * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1)
    return torch.where(torch.arange(mean.shape[1], device=mean.device) < count.unsqueeze(1), mean, 0.0)


def _nearness(renderer: Renderer, slots: Slots, count: Tensor) -> Tensor:
    """Distances (B, N (N - 1) / 2) in the image of each pair among the first ``count``; 1 where they just touch."""
    centre, half = _spans(renderer.window(slots.where))
    i, j = _pairs(half.shape[1], half.device)
    ratio = ((centre[:, i] - centre[:, j]) / (half[:, i] + half[:, j]).clamp_min(1e-6)).norm(dim=-1)
    return torch.where(j < count.unsqueeze(1), ratio, torch.inf)


def _pairs(slots: int, device: torch.device) -> Tensor:
    """Indices (2, N (N - 1) / 2) of two of N slots, the smaller first."""
    return torch.triu_indices(slots, slots, 1, device=device)
