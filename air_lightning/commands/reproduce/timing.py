"""What a trained model takes for an image."""

import time
from pathlib import Path

import torch

from air_lightning.model.prior import images_from_prior
from air_lightning.runs.loading import load_module

IMAGES = 64
"""In a batch, of which two are explained: renderers compile what they are when they first draw."""


def seconds_an_image(run_dir: Path) -> float:
    """Of ``infer`` on the CPU, refinement and search included, on scenes that the renderer draws."""
    model = load_module(run_dir)
    images = images_from_prior(model.renderer, IMAGES, model.slots, torch.Generator().manual_seed(0))
    model.infer(images)
    begin = time.perf_counter()
    model.infer(images)
    return (time.perf_counter() - begin) / IMAGES
