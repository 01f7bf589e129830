"""Coordinates of images' scenes: what the network says of them, and how they are refined with the objects."""

import torch
from torch import Tensor

from air_lightning.inference.base import InferenceNetwork
from air_lightning.model.evidence import log_likelihoods, pose_log_ratio
from air_lightning.model.observation import Observation, SceneGuess
from air_lightning.model.refinement import Problem, Refinement, newton_step, stepped
from air_lightning.model.slots import Slots, pose_kl
from renderers.base import Renderer
from renderers.constants import pick
from renderers.spaces import FULL_TURN

ROUNDS = 4
"""Steps of the scene, each followed by steps of its objects."""


def guess(
    renderer: Renderer, network: InferenceNetwork, images: Tensor, sample: bool, ratio: bool = False
) -> SceneGuess | None:
    """The network's posterior of the coordinates of the scenes of images (B, C, H, W); None where there are none.

    ``sample``: a reparametrised sample, otherwise the mode. ``ratio``: ``kl`` is the sample's log ratio instead.
    """
    space = renderer.scene
    if space is None or network.scene is None:
        return None
    mean, sd = network.scene(images)
    noise = torch.randn_like(mean) if sample else torch.zeros_like(mean)
    turn = torch.full_like(sd, FULL_TURN)
    worth = pose_log_ratio(space, mean, sd, noise, turn) if ratio else pose_kl(space, mean, sd, turn)
    return SceneGuess(space.constrain(mean + sd * noise), mean, sd, worth)


@torch.no_grad()
def refine_scene(
    refinement: Refinement, renderer: Renderer, observation: Observation, slots: Slots, kl: Tensor, log_prior: Tensor
) -> tuple[Observation, Slots]:
    """The scene's coordinates and the slots' poses, refined in turn; the sd becomes that of the curvature.

    The scene takes Newton steps, coordinate by coordinate, on the canvases' losses and its prior, weighted by the
    posterior over the count. Objects go with it: they stay where they are in the image (``project``, ``unproject``), or
    a camera that turns would leave them all behind. A step that makes an image worse is not taken.

    Args:
        renderer: of the observed scenes. kl: (B, N), the slots'. log_prior: log p(n), (N + 1,).
    """
    assert observation.scene is not None and renderer.scene is not None
    sd = observation.scene.sd
    for step in range(ROUNDS if refinement.iterations else 0):
        problem = Problem(renderer, observation, kl, log_prior)
        size = renderer.scene.steps(kl) * max(refinement.coarseness * 0.75**step, 0.3)
        renderer, slots, sd = _moved(problem, slots, size)
        slots = stepped(problem._replace(renderer=renderer), slots, 2, refinement.coarseness * 0.75**step)
    guessed = observation.scene._replace(values=renderer.scene_values, sd=sd)
    return observation._replace(scene=guessed), slots


def _moved(problem: Problem, slots: Slots, size: Tensor) -> tuple[Renderer, Slots, Tensor]:
    """A step of the scenes, at most ``size`` (S,), their objects carried along; and the sd (B, S) by the curvature."""
    renderer, space = problem.renderer, problem.renderer.scene
    assert space is not None
    values, canvases = renderer.scene_values, renderer.render(slots.what, slots.where, problem.observation.background)
    weights = problem.count_posterior(log_likelihoods(canvases, problem.observation))

    def cost(of: Tensor) -> Tensor:
        there, carried = renderer.at(of), _carried(renderer, renderer.at(of), slots)
        canvases = there.render(carried.what, carried.where, problem.observation.background)
        u = pick(space.unconstrain(of), space.straight)
        return 0.5 * (u**2).sum(-1) - (weights * log_likelihoods(canvases, problem.observation)).sum(1)

    here, moves = cost(values), torch.diag(size)
    up, down = (torch.stack([cost(space.clamp(values + side * move)) for move in moves], 1) for side in (1, -1))
    best = space.clamp(values + newton_step(up, down, here.unsqueeze(1)) * size)
    chosen = torch.where((cost(best) < here).unsqueeze(1), best, values)
    bent = ((up + down - 2 * here.unsqueeze(1)).clamp_min(0) / size**2) * space.slopes(space.unconstrain(values)) ** 2
    there = renderer.at(chosen)
    return there, _carried(renderer, there, slots), (1 + bent).rsqrt()


def _carried(before: Renderer, after: Renderer, slots: Slots) -> Slots:
    """The slots at the places in the scene that are seen where they were, turned as the viewer is.

    ``unproject`` does not know an object's size: places are moved by what it says more of one scene than of the other.
    """
    image, where = before.project(slots.where)[0], slots.where.clone()
    names = before.where.names
    there = before.unproject(image)
    for name, value in after.unproject(image).items():
        where[..., names.index(name)] += (value - there[name]).view(where.shape[:2])
    for name, angle in after.facing(image).items():
        where[..., names.index(name)] += (angle - before.facing(image)[name]).view(where.shape[:2])
    return slots._replace(where=before.where.clamp(where))
