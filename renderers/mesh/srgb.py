"""Between linear RGB and sRGB: IEC 61966-2-1."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def encoded(linear: Array) -> Array:
    """Linear values as sRGB, cut off at 0 and 1."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(srgb: Array) -> Array:
    """sRGB values in [0, 1] as linear ones."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
