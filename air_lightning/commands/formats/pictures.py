"""Images, masks and depth as files."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float = NDArray[np.float32]


def in_8_bits(image: Float) -> NDArray[np.uint8]:
    """Values in [0, 1] rounded to the nearest of 0 ... 255."""
    return np.rint(image.clip(0, 1) * np.float32(255)).astype(np.uint8)


def save_png(path: Path, image: Float) -> None:
    """An image (C, H, W) in [0, 1], C = 1 or 3, in 8 bits."""
    pixels = in_8_bits(image).transpose(1, 2, 0)
    Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels).save(path)


def save_array(path: Path, values: NDArray[Any]) -> None:
    """Any numbers, as `.npy`."""
    np.save(content := BytesIO(), values)
    path.write_bytes(content.getbuffer())  # whose error says why, which NumPy's own does not


def save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """A mask (H, W), white on black."""
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(path)


def save_labels(path: Path, masks: NDArray[np.bool_]) -> None:
    """Masks (n, H, W), none over another, as one grey image: i + 1 where object i is, 0 elsewhere.

    In 8 bits, or in 16 of more than 255 objects.
    """
    labels = np.zeros(masks.shape[1:], np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, 1):
        labels[mask] = number
    Image.fromarray(labels).save(path)


def save_depth(path: Path, depth: Float, unit: float) -> None:
    """Depth (H, W) as whole multiples of ``unit`` in 16 bits, 0 where it is infinite.

    Errors:
        ValueError where it is more than 65535 of them.
    """
    steps = np.rint(np.where(np.isfinite(depth), depth, 0) / unit)
    if steps.max() > 65535:
        raise ValueError(f"a depth of {depth[np.isfinite(depth)].max():g} is more than 65535 times {unit:g}")
    Image.fromarray(steps.astype(np.uint16)).save(path)
