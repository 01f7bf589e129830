"""A model's inference as one function of a batch of images, exported and compared with the original."""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from air_lightning.distributions import count_log_posterior
from air_lightning.model.air import AIR
from air_lightning.model.prior import images_from_prior
from air_lightning.model.slots import infer
from air_lightning.version import __version__
from renderers.base import Renderer
from renderers.spaces import Categorical

OUTPUTS = ("count_probabilities", "object_what", "object_where")
CHECKED = (1, 2, 29)
"""Batch sizes at which an exported program is compared with the original."""
TOLERANCE = 1e-3
"""Largest difference that is put down to rounding, of probabilities, codes and poses alike."""
UNSTABLE = 0.05
"""Share of images that may differ by more: rounding may turn a hard pixel or a close choice, above all in noise."""

Program = Callable[[Tensor], tuple[Tensor, ...]]


class Inference(nn.Module):
    """Images (B, C, H, W) to ``OUTPUTS``: the network's answer, reconsidered if the model is.

    No descent, search or refinement. count_probabilities is (B, N + 1), q(n | x); object_what the probabilities
    of the identities (B, N, K), or posterior means of appearance (B, N, D); object_where (B, N, P), poses of the
    likeliest identities, in the renderer's units.

    Args:
        module: the model. renderer: what draws between slots, the model's own or one that draws the same.
    """

    log_prior: Tensor

    def __init__(self, module: AIR, renderer: Renderer) -> None:
        super().__init__()
        self.network, self.renderer, self.slots = module.network, renderer, module.slots
        self.likelihood, self.background = module.likelihood, module.background
        self.reconsideration, self.observed = module.reconsideration, module.observed
        self.powers = module.powers
        self.register_buffer("log_prior", module.log_prior, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        observation = self.observed(images)
        slots = infer(self.renderer, self.network, observation, self.slots, sample=False)
        if self.reconsideration is not None:
            slots = self.reconsideration(self.renderer, self.network, observation, slots, self.log_prior)
        what = slots.what
        if isinstance(self.renderer.what, Categorical):
            what = self.powers.of_identity(slots.what_parameters, refined=False).softmax(-1)
        return self.powers.of_count(count_log_posterior(slots.presence_logits)).exp(), what, slots.where


def trace(module: AIR) -> ExportedProgram:
    """The model's inference by ``torch.export``, for batches of any size.

    Errors:
        ValueError where torch cannot follow the renderer or the network, or the renderer has coordinates of the scene.
    """
    if module.renderer.scene is not None:
        raise ValueError(
            f"{type(module.renderer).__name__} has coordinates of the scene, {', '.join(module.renderer.scene.names)}, "
            "which exported programs do not infer yet: use `predict`, or air_lightning.load, for this model"
        )
    example, sizes = torch.rand(2, *module.renderer.image_shape), {"images": {0: Dim("batch")}}
    try:
        with torch.no_grad():
            inference = Inference(module, module.renderer.traceable()).eval()
            return torch.export.export(inference, (example,), dynamic_shapes=sizes, strict=False)
    except Exception as error:  # torch has many, and a plug-in its own
        raise ValueError(
            f"torch.export cannot follow {type(module.network).__name__} with {type(module.renderer).__name__} "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]}): between slots the network looks at what "
            "the renderer draws, which must be torch operations for any number of objects (`what.shape[0]`, not "
            "`len(what)`), or its `traceable` give a renderer of such"
        ) from error


def metadata(module: AIR) -> dict[str, str]:
    """What a user of the program needs to know of it, as text by name; all but ``description`` is JSON."""
    renderer = module.renderer
    identities = list(renderer.what.names) if isinstance(renderer.what, Categorical) else None
    periods = renderer.where.periods(renderer.identity_count, torch.zeros(()))
    where = [
        {"name": c.name, "unit": c.unit, "low": c.low, "high": c.high, "circular": c.circular}
        | ({"periods": periods[:, j].tolist()} if c.circular else {})
        for j, c in enumerate(renderer.where.coordinates)
    ]
    facts: dict[str, Any] = {
        "air_lightning": __version__,
        "image_shape": list(renderer.image_shape),
        "slots": module.slots,
        "kinds": identities,
        "where": where,
        "refined": False,
        "outputs": list(OUTPUTS),
    }
    description = (
        "AIR inference. images: float32 (batch, channels, height, width) in [0, 1]. count_probabilities: (batch, "
        "slots + 1). object_what: probabilities of the identities (batch, slots, identities), or codes of appearance "
        "(batch, slots, dimensions). object_where: (batch, slots, coordinates). The first n slots are the objects, n "
        "the likeliest count. Poses and identities are the network's own, not refined through the renderer."
    )
    return {"description": description} | {name: json.dumps(fact) for name, fact in facts.items()}


def differences(program: Program, module: AIR, seed: int = 0) -> Tensor:
    """For each of some images, the largest difference from the original's of any number that counts; infinite for nan.

    Half of the images are noise, half scenes that the model's renderer draws. Of noise only the slots count that are
    objects, as the original has it: the others look at what a pixel's rounding leaves.

    Errors:
        ValueError where the program's answers have other shapes.
    """
    random, original = torch.Generator().manual_seed(seed), Inference(module, module.renderer).eval()
    found = []
    for size in CHECKED:
        noise = torch.rand(size, *module.renderer.image_shape, generator=random)
        drawn = images_from_prior(module.renderer, size, module.slots, random)
        for images, objects_alone in ((noise, True), (drawn, False)):
            with torch.no_grad():
                expected = original(images)
                answer = program(images)
            found.append(largest_gaps(answer, expected, objects_alone))
    return torch.cat(found)


def largest_gaps(answer: tuple[Tensor, ...], expected: tuple[Tensor, ...], objects_alone: bool) -> Tensor:
    """(B,), see ``differences``, of two answers as ``OUTPUTS`` has them.

    objects_alone: leave out the slots that are no objects by what is expected, unless one of the two is no number.
    """
    count, gaps = expected[0].argmax(1, keepdim=True), []
    for mine, theirs in zip(answer, expected):
        if mine.shape != theirs.shape:
            raise ValueError(f"the exported program gives {tuple(mine.shape)} instead of {tuple(theirs.shape)}")
        gap = (mine - theirs).abs().nan_to_num(torch.inf)
        if gap.dim() > 2 and objects_alone:
            absent = (torch.arange(gap.shape[1]) >= count).unsqueeze(2)
            gap = gap.masked_fill(absent & gap.isfinite(), 0.0)
        gaps.append(gap.flatten(1).amax(1))
    return torch.stack(gaps).amax(0)


def agrees(gaps: Tensor) -> bool:
    """Whether these differences are those of rounding."""
    return float((gaps > TOLERANCE).float().mean()) <= UNSTABLE
