"""Pictures for people: scenes beside their reconstructions, with the inferred objects marked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

COLORS = ("#ffffff", "#00e5ff", "#ffea00", "#ff40ff", "#76ff03", "#ff9100")
MARGIN = 4


def picture_rows(
    images: Tensor,
    reconstructions: Tensor,
    count: Tensor,
    center: Tensor,
    half: Tensor,
    kinds: Tensor | None = None,
    names: Sequence[str] | None = None,
    columns: int = 4,
    zoom: int = 3,
) -> NDArray[np.uint8]:
    """A grid of pairs (scene with marks, reconstruction), ``columns`` pairs a row, (height, width, 3) uint8.

    Args:
        images, reconstructions: (B, C, H, W) in [0, 1], grey or colour. count: (B,), objects to mark.
        center: (B, N, 2) image coordinates in [-1, 1]. half: (B, N), half an object's size, in the same unit.
        kinds, names: (B, N) identities and their names, written beside the marks.
        zoom: screen pixels a pixel.
    """
    pairs = []
    for b in range(len(images)):
        scene = _enlarged(images[b], zoom)
        labels = None if kinds is None or names is None else [names[int(k)] for k in kinds[b]]
        _mark(scene, int(count[b]), center[b].cpu(), half[b].cpu(), labels)
        pairs.append(np.concatenate([np.asarray(scene), np.asarray(_enlarged(reconstructions[b], zoom))], 1))
    blank = np.zeros_like(pairs[0])
    pairs += [blank] * (-len(pairs) % columns)
    framed = [np.pad(pair, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=255) for pair in pairs]
    rows = [np.concatenate(framed[i : i + columns], 1) for i in range(0, len(framed), columns)]
    return np.concatenate(rows)


def _enlarged(image: Tensor, zoom: int) -> Image.Image:
    pixels = image.detach().float().cpu().clamp(0, 1)
    if pixels.shape[0] == 1:
        pixels = pixels.expand(3, -1, -1)
    array: NDArray[Any] = (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    height, width = array.shape[:2]
    return Image.fromarray(array).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)


def _mark(scene: Image.Image, count: int, center: Tensor, half: Tensor, labels: Sequence[str] | None) -> None:
    """Draw a box around each inferred object, numbered by its colour in the order of inference."""
    draw = ImageDraw.Draw(scene)
    width, height = scene.size
    for i in range(count):
        x, y = (float(center[i, 0]) + 1) * width / 2, (float(center[i, 1]) + 1) * height / 2
        reach = max(2.0, float(half[i]) * height / 2)
        color = COLORS[i % len(COLORS)]
        draw.rectangle((x - reach, y - reach, x + reach, y + reach), outline=color)
        if labels is not None:
            draw.text((x - reach, y - reach - 11), labels[i], fill=color)
