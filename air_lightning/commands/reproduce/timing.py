"""What a trained model takes for an image."""

import time
from pathlib import Path

import torch
from torch import Tensor

from air_lightning.runs.loading import load_module
from renderers.base import Renderer
from renderers.spaces import Categorical

IMAGES = 64
"""In a batch, of which two are explained: renderers compile what they are when they first draw."""


def seconds_an_image(run_dir: Path) -> float:
    """Of ``infer`` on the CPU, refinement and search included, on scenes that the renderer draws."""
    model = load_module(run_dir)
    images = drawn(model.renderer, IMAGES, model.slots)
    model.infer(images)
    begin = time.perf_counter()
    model.infer(images)
    return (time.perf_counter() - begin) / IMAGES


def drawn(renderer: Renderer, count: int, objects: int) -> Tensor:
    """Images (count, C, H, W) of so many objects, from the prior."""
    generator, shape = torch.Generator().manual_seed(0), (count, objects)
    where = renderer.where.constrain(torch.randn(*shape, len(renderer.where), generator=generator))
    if isinstance(renderer.what, Categorical):
        what = torch.randint(renderer.identity_count, shape, generator=generator)
    else:
        what = torch.randn(*shape, renderer.what.dim, generator=generator)
    with torch.no_grad():
        return renderer.render(what, where)[:, -1].clamp(0, 1)
