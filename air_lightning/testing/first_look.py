"""What is looked at of a renderer before a model uses it: whether what it draws are images at all."""

import torch

from air_lightning.testing.drawing import Findings, shapes, types
from air_lightning.testing.subject import Subject
from renderers.base import Renderer

BATCH = 32
"""Scenes that are drawn: some milliseconds."""


class WrongDrawing(ValueError):
    """A renderer draws what is no image: of another shape or type, or not finite."""


def look_at(renderer: Renderer) -> None:
    """WrongDrawing where a few objects and scenes are drawn as something else than images; what it raises goes on.

    A part of what ``check_renderer`` measures, by the same laws.
    """
    subject, cls = Subject(renderer, None, None), type(renderer)
    for law in (shapes, types, _canvases):
        for measured, remedy in law(subject):
            raise WrongDrawing(
                f"renderer {subject.name}: {measured}: {remedy}; `python -m air_lightning check --renderer "
                f"{cls.__module__}.{cls.__qualname__}` tests it whole"
            )


def _canvases(s: Subject) -> Findings:
    """Canvases (B, N + 1, C, H, W), floats like ``where``, finite."""
    scenes = s.scenes(BATCH, others=0)
    with torch.no_grad():
        found = s.renderer.canvases(scenes.what, scenes.where)
    batch, slots = scenes.where.shape[:2]
    expected = (batch, slots + 1, *s.renderer.image_shape)
    if tuple(found.shape) != expected:
        yield (
            f"canvases of {batch} scenes with {slots} objects gave {tuple(found.shape)}, not {expected}",
            "give the empty scene and one canvas more for each object, of the images' size",
        )
    elif found.dtype != scenes.where.dtype:
        yield f"canvases are {found.dtype}, where is {scenes.where.dtype}", "draw with .to(where)"
    elif not found.isfinite().all():
        share = float((~found.isfinite().flatten(1).all(1)).double().mean())
        yield (
            f"canvases are NaN or infinite in {share:.0%} of {batch} scenes of objects from the prior, not in [0, 1]",
            "look for a division by 0, in draw or in background",
        )
