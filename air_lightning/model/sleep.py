"""The sleep phase: q learns from scenes that are drawn from the prior, whose slots are known."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.distributions import count_log_posterior, draw
from air_lightning.inference import InferenceNetwork, Proposal
from air_lightning.inference.base import proposed
from air_lightning.model.evidence import of_sample, pose_log_ratio, what_log_ratio, where_log_ratio
from air_lightning.model.observation import Observation, SceneGuess
from air_lightning.model.prior import unconstrained_from_prior, what_from_prior
from air_lightning.model.slots import Slots, draw_what
from air_lightning.schedules import Constant, Linear, Schedule
from renderers.base import Renderer
from renderers.constants import constant
from renderers.growing import GrowingCanvas
from renderers.spaces import FULL_TURN

ABSENT = 1e6
"""Farther than anything in the image: objects that are not there come last."""
TRIES = 20
"""How often scenes whose objects pass through one another are drawn anew."""


class Drawn(NamedTuple):
    """B scenes drawn from the prior.

    Attributes:
        count: (B,), how many of the N objects are there, the first ones.
        what: (B, N) or (B, N, D). where: (B, N, P). unconstrained: (B, N, P), ``where`` as inference has it.
        scene: (B, S), the unconstrained coordinates of the scenes; None where the renderer has none.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count
    what: Tensor
    where: Tensor
    unconstrained: Tensor
    scene: Tensor | None = None

    def where_true(self, mask: Tensor, other: "Drawn") -> "Drawn":
        """These scenes where a mask (B,) is true, others elsewhere."""
        parts = [(a, b) for a, b in zip(self, other) if a is not None and b is not None]
        return Drawn(*(torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in parts))

    def placed(self, renderer: Renderer) -> Renderer:
        """The renderer of these scenes."""
        if self.scene is None or renderer.scene is None:
            return renderer
        return renderer.at(renderer.scene.constrain(self.scene))


class Sleep:
    """Wake-sleep's sleep phase (Hinton et al. 1995), as a term of the loss: KL(p(slots | x) || q), x being drawn.

    Scenes are drawn from the prior through the renderer, with the model's background and, if asked for, its noise, and
    q's log density of the true slots is raised. Labels of images are not needed for that. It is a warm start: the
    weight falls, and what remains is learning from the images themselves.

    Each slot is held against that true object, of those not yet explained, that lies nearest in the image to where the
    network would put one, and one slot more than there are objects is to be absent: q learns in the order in which it
    finds objects itself. Between slots the network sees the canvas of the true objects so far in half of the scenes. In
    the other half it sees that of its own samples, which it will have to go by: what these leave over is no object.

    Args:
        weight: of the term over training: a number, or a schedule; null: from 1 to 0 over 1 000 steps. Where it is 0
            nothing is drawn.
        scenes: drawn in each step, by each process.
        counts: probabilities of 0 to N objects in them; null: all alike. (The model's own prior may hold
            mostly empty scenes.)
        noise: draw images with the likelihood's noise, of its final scale: right where that is the images' real
            noise. Otherwise images are canvases.
        solid: draw scenes in which no two objects pass through one another (``Renderer.intersecting``), as far as
            20 tries find them.
        mode: the network's own explanation, on the canvases of every other scene, is the mode of q, as in evaluation,
            and no sample. Where coordinates hang together (size, distance) and q takes each by itself, its samples lie
            beside the objects and leave much of them over.
        alone: so many steps, from the first, in which nothing is learnt from the images themselves. They cost less, and
            what images teach a network that does not know objects yet can be more than this term can mend.
    Errors:
        ValueError for a weight that is negative or never positive, fewer than one scene, counts that are no N + 1
        probabilities, and a weight of 0 while the network learns from nothing else.
    """

    def __init__(
        self,
        weight: float | Schedule | None = None,
        scenes: int = 32,
        counts: Sequence[float] | None = None,
        noise: bool = False,
        solid: bool = False,
        alone: int = 0,
        mode: bool = False,
    ) -> None:
        self.weight = _weight(weight)
        if alone < 0 or (alone and not self.weight(alone - 1) > 0):
            raise ValueError(
                f"sleep must be all that is learnt for alone={alone} steps, and its weight is "
                f"{self.weight(max(0, alone - 1)):g} by then: take fewer steps from 0 on, or another weight"
            )
        if scenes < 1:
            raise ValueError(f"sleep draws at least 1 scene a step, got scenes={scenes}: 32, for example")
        self.scenes, self.noise, self.counts = scenes, noise, counts
        self.solid, self.alone, self.mode = solid, alone, mode
        self._shares: tuple[float, ...] = ()

    def prepared(self, slots: int) -> "Sleep":
        """Itself, for a model of so many slots: the counts' probabilities are checked."""
        shares = (1.0,) * (slots + 1) if self.counts is None else tuple(self.counts)
        if len(shares) != slots + 1 or min(shares) < 0 or not sum(shares[1:]) > 0:
            raise ValueError(
                f"sleep's counts must be {slots + 1} probabilities (of 0 to {slots} objects), some of them of one "
                f"object or more, got {list(shares)}: null draws all counts alike"
            )
        self._shares = shares
        return self

    @torch.no_grad()
    def draw(self, renderer: Renderer, observation: Observation) -> tuple[Drawn, Tensor]:
        """Scenes, and images (B, C, H, W) of them with backgrounds and noise as of the ``observation`` of real ones."""
        like = observation.images
        assert self._shares  # the model has prepared it
        shares = constant(self._shares, like.dtype, like.device)
        drawn = from_prior(renderer, shares, self.scenes)
        for _ in range(TRIES if self.solid else 0):
            again = from_prior(renderer, shares, self.scenes)._replace(count=drawn.count)  # counts stay in proportion
            drawn = drawn.where_true(~_intersecting(renderer, drawn), again)
        behind = observation.background
        if behind is not None and behind.dim() == 4:  # of as many of the images, over again
            behind = behind[torch.arange(self.scenes, device=like.device) % len(behind)]
        canvases = drawn.placed(renderer).render(drawn.what, drawn.where, behind)
        canvas = canvases[torch.arange(self.scenes, device=like.device), drawn.count]
        return drawn, observation.loss.sample(canvas) if self.noise else canvas


def from_prior(renderer: Renderer, counts: Tensor, scenes: int) -> Drawn:
    """Scenes from the prior of where and what, their number of objects in proportion to ``counts`` (N + 1,)."""
    shape = scenes, counts.shape[0] - 1
    count = draw((counts / counts.sum()).unsqueeze(0), scenes).squeeze(0)
    space, device = renderer.where, counts.device
    unconstrained = unconstrained_from_prior(space, shape, device)
    what = what_from_prior(renderer, shape, device)
    scene = None if renderer.scene is None else unconstrained_from_prior(renderer.scene, (scenes,), device)
    return Drawn(count, what, space.constrain(unconstrained), unconstrained, scene)


def sleep_loss(
    renderer: Renderer, network: InferenceNetwork, observation: Observation, drawn: Drawn, mode: bool = False
) -> Tensor:
    """``-log q(n | x) - sum_{i <= n} log q(slot_i | x, slots before) / p(slot_i)``, mean over scenes (scalar), nats.

    Up to the count's prior this is KL(p || q) of the true slots, in the order in which the network finds them, and of
    the coordinates of the scene, of which slots are read as they truly are.
    """
    renderer = drawn.placed(renderer)
    slots = true_slots(renderer, network.at(renderer), observation, drawn, mode)
    log_count = count_log_posterior(slots.presence_logits).gather(1, drawn.count.unsqueeze(1)).squeeze(1)
    there = _slot_numbers(drawn) < drawn.count.unsqueeze(1)
    ratio = where_log_ratio(renderer, slots) + what_log_ratio(renderer, slots)
    log_q = log_count + (ratio * there).sum(1)
    return -(log_q if observation.scene is None else log_q + _scene_ratio(renderer, observation.scene, drawn)).mean()


def _scene_ratio(renderer: Renderer, guess: SceneGuess, drawn: Drawn) -> Tensor:
    """log q(scene | x) / p(scene) of the true scenes, (B,)."""
    assert renderer.scene is not None and drawn.scene is not None
    noise = (drawn.scene - guess.mean) / guess.sd
    return pose_log_ratio(renderer.scene, guess.mean, guess.sd, noise, torch.full_like(noise, FULL_TURN))


def true_slots(
    renderer: Renderer, network: InferenceNetwork, observation: Observation, drawn: Drawn, mode: bool = False
) -> Slots:
    """The true objects as slots, in the order in which the network finds them, with its posterior of each.

    Sampled pose and ``what`` are the true ones. So are those on the canvases that the network looks at, in every other
    scene; in the rest they are drawn from q, or ``mode``, its mode.
    """
    images, behind = observation.images, observation.background
    canvas = (renderer.image_background() if behind is None else behind).expand_as(images)
    rows = torch.arange(len(images), device=images.device)
    state = network.start(images, observation.whitening)
    distance = ABSENT * (_slot_numbers(drawn) >= drawn.count.unsqueeze(1))  # besides that in the image
    parts: list[Slots] = []
    growing = GrowingCanvas(renderer, images.shape[0], behind)
    for place in range(drawn.what.shape[1]):
        proposal, state = proposed(network, images, canvas, state)
        nearest = (distance + _distance(renderer, drawn, proposal.mean.detach())).argmin(1)
        distance = distance.scatter(1, nearest.unsqueeze(1), torch.inf)
        true = Drawn(drawn.count, *(part[rows, nearest] for part in drawn[1:4]))
        options = true.where.unsqueeze(1).expand_as(proposal.mean)
        parts.append(_slot(proposal, true, options, network.appearance(images, canvas, options, state)))
        seen = _canvas_objects(renderer, parts[-1], rows % 2 > 0, mode)
        state = network.observe(state, *seen)
        if network.needs_canvas and place + 1 < drawn.what.shape[1]:
            more = (drawn.count > place).view(-1, 1, 1, 1)
            canvas = torch.where(more, growing.add(*seen), canvas)
    return Slots(*(torch.stack(column, 1) for column in zip(*parts)))


def _slot(proposal: Proposal, true: Drawn, options: Tensor, what_parameters: Tensor) -> Slots:
    """One true object of each scene as the sample of a slot: its noise is what q would have drawn it with."""
    logit, mean, sd = proposal
    own_mean, own_sd = (of_sample(part.unsqueeze(1), true.what.unsqueeze(1)).squeeze(1) for part in (mean, sd))
    noise = ((true.unconstrained - own_mean) / own_sd).unsqueeze(1)
    return Slots(logit, true.what, true.where, options, mean, sd, what_parameters, noise)


def _intersecting(renderer: Renderer, drawn: Drawn) -> Tensor:
    """Scenes (B,) of which two objects that are there pass through one another."""
    there = _slot_numbers(drawn) < drawn.count.unsqueeze(1)
    pairs = renderer.intersecting(drawn.what, drawn.where) & there.unsqueeze(1) & there.unsqueeze(2)
    return pairs.flatten(1).any(1)


def _slot_numbers(drawn: Drawn) -> Tensor:
    return torch.arange(drawn.what.shape[1], device=drawn.count.device)


def _distance(renderer: Renderer, drawn: Drawn, mean: Tensor) -> Tensor:
    """Squared distances (B, N), in the image, of the objects from where a proposal of mean (B, K, P) puts them."""
    options = renderer.where.constrain(mean)
    rows = torch.arange(len(mean), device=mean.device).unsqueeze(1)
    put = options[rows, drawn.what] if renderer.identity_count > 1 else options
    return (renderer.project(put)[0] - renderer.project(drawn.where)[0]).square().sum(-1)


def _canvas_objects(renderer: Renderer, slot: Slots, own: Tensor, mode: bool) -> tuple[Tensor, Tensor]:
    """``what`` and pose that the network takes to be there: true ones; where ``own`` (B,), a sample or mode of q."""
    with torch.no_grad():
        noise = torch.randn_like(slot.where_mean[:, :1])
        noise = torch.zeros_like(noise) if mode else noise
        options = renderer.where.constrain(slot.where_mean + slot.where_sd * noise).unsqueeze(1)
        what = draw_what(renderer, slot.what_parameters, not mode)
        where = of_sample(options, what.unsqueeze(1)).squeeze(1)
        mask = own.unsqueeze(1)
        return torch.where(mask if what.dim() > 1 else own, what, slot.what), torch.where(mask, where, slot.where)


def _weight(weight: float | Schedule | None) -> Schedule:
    schedule = Linear(1.0, 0.0, 1000) if weight is None else weight
    schedule = Constant(schedule) if isinstance(schedule, (int, float)) else schedule
    ends = schedule(0), schedule.last
    if min(ends) < 0 or not max(ends) > 0:
        raise ValueError(
            f"sleep's weight must not be negative, and positive somewhere, got {ends[0]:g} to {ends[1]:g}: leave "
            "model.sleep out (null) for none"
        )
    return schedule
