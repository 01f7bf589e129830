"""What a trained, frozen model says of scenes of two objects, as the inputs of a classifier."""

from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.commands.downstream.tasks import OBJECTS
from air_lightning.distributions import presence_weights
from air_lightning.model.air import AIR
from renderers.spaces import Gaussian


class Latents(NamedTuple):
    """Two inferred objects for each of B scenes, from left to right.

    Attributes:
        mean, sd: (B, 2, D) of the posterior of ``what``.
        place: (B, 2, 4): x and y of the object's centre and half its size, image coordinates; and the posterior
            probability that it is there.
    """

    mean: Tensor
    sd: Tensor
    place: Tensor


def check_model(module: AIR) -> None:
    """ValueError where the model's latents are not what the classifier reads."""
    if not isinstance(module.renderer.what, Gaussian):
        raise ValueError(
            f"downstream reads codes of appearance, and {type(module.renderer).__name__} has a categorical `what`, "
            "which names the objects already: give the run of a model with a continuous one, such as GlimpseRenderer"
        )
    if module.slots < OBJECTS:
        raise ValueError(f"downstream needs a model of at least {OBJECTS} slots, got model.slots {module.slots}")


@torch.no_grad()
def infer(module: AIR, images: Tensor) -> Latents:
    """Latents of images (B, C, H, W): the first two slots' posterior, its mode where slots build on one another."""
    inferred = module.infer(images)
    slots = inferred.slots
    where = slots.where[:, :OBJECTS]
    mean, log_sd = slots.what_parameters[:, :OBJECTS].chunk(2, -1)
    center, half = module.renderer.project(where)
    present = presence_weights(inferred.posterior)[:, :OBJECTS]
    place = torch.cat([center, half.unsqueeze(-1), present.unsqueeze(-1)], -1)
    rank = center[..., 0].argsort(dim=1, stable=True).unsqueeze(-1)
    return Latents(*(part.gather(1, rank.expand_as(part)) for part in (mean, log_sd.exp(), place)))
