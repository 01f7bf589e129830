"""Images in the size and colours of a model, and in those of a screen."""

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.image_files.levels import Pixels

Stretch = Literal["linear", "asinh"]
SOFT = 0.1
"""Where asinh goes over from linear to logarithmic, as a share of white (astropy's AsinhStretch has it too)."""
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in a grey (ITU-R BT.601, as Pillow has it for 8 bits)."""


def shaped_image(pixels: Pixels, resize: tuple[int, int] | None, color: bool) -> Pixels:
    """(H, W) or (H, W, 3) as (C, H, W), of 3 channels if ``color``, else 1, uint8 or float32 as before.

    ``resize``: to this height and width, whatever the proportions; areas are averaged where it shrinks.
    """
    return _eight_bits(pixels, resize, color) if pixels.dtype == np.uint8 else _real(pixels, resize, color)


def stretched(values: Tensor, stretch: Stretch) -> Tensor:
    """Values as a screen shows them: what is black and white stays so, asinh lifts the faint (Lupton et al. 1999)."""
    return values if stretch == "linear" else (values / SOFT).asinh() / torch.tensor(1 / SOFT).asinh()


def displayed(pixels: Pixels, stretch: Stretch) -> Image.Image:
    """The image (H, W) or (H, W, 3) for a screen, in 8 bits."""
    if pixels.dtype == np.uint8 and stretch == "linear":
        return Image.fromarray(pixels)
    values = torch.from_numpy(pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels)
    return Image.fromarray((stretched(values, stretch).clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _eight_bits(pixels: Pixels, resize: tuple[int, int] | None, color: bool) -> Pixels:
    values = pixels
    if color != (pixels.ndim == 3) or resize not in (None, pixels.shape[:2]):
        image = Image.fromarray(pixels).convert("RGB" if color else "L")
        if resize is not None:
            image = image.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)
        values = np.asarray(image)
    return values.transpose(2, 0, 1) if color else values[None]


def _real(pixels: Pixels, resize: tuple[int, int] | None, color: bool) -> Pixels:
    if pixels.ndim == 3 and not color:
        pixels = pixels @ GREY
    channels = list(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else [pixels] * (3 if color else 1)
    return np.stack([_resized(channel, resize) for channel in channels])


def _resized(channel: Pixels, resize: tuple[int, int] | None) -> Pixels:
    if resize is None or channel.shape == resize:
        return channel
    image = Image.fromarray(np.ascontiguousarray(channel))
    return np.asarray(image.resize((resize[1], resize[0]), Image.Resampling.BILINEAR))
