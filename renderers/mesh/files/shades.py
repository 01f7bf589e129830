"""The colours of vertices and faces, in whatever numbers a file has them, as RGB in [0, 1]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.part import Array

WIDEST = 1.01  # reals up to this are shares, a little more than 1 by rounding


def shares(values: NDArray[Any]) -> Array:
    """Colours (N, 3) in [0, 1]. Bytes are of 255. Wider whole numbers are of 255, 65535 or their type's largest, the
    first that none exceeds; reals are shares of 1, or, where one is larger, of 255.

    Errors:
        ValueError for what is negative, not finite, or real and larger than 255.
    """
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    whole = values.dtype.kind in "iu"
    if not (low >= 0 and high <= (np.iinfo(values.dtype).max if whole else 255)):
        raise ValueError(
            f"its colours are from {low:g} to {high:g}, and neither shares from 0 to 1 nor bytes from 0 to 255: write "
            "them as one of these"
        )
    if not whole:
        full = 1.0 if high <= WIDEST else 255.0
    else:
        full = next(float(top) for top in (255, 65535, np.iinfo(values.dtype).max) if high <= top)
    return np.minimum(values / full, 1)


def tell(colors: Array | None) -> Array | None:
    """None for colours that tell nothing: programs write white vertices where nobody painted."""
    return None if colors is None or (colors == 1).all() else colors
