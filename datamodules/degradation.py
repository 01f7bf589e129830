"""What stands between a clean scene and its image: a grid behind it, less contrast, and noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Degradation:
    """A grid, contrast and noise, in this order; the image is clipped to [0, 1].

    SuPAIR (Stelzner et al. 2019) is tried on both: ``contrast`` 0.8 with ``noise`` 0.2, and ``grid`` 0.4.

    Attributes:
        contrast: share of the contrast that is left, about mid-grey: x becomes 0.5 + contrast (x - 0.5).
        noise: sd of the normal noise on each number of the image.
        grid: least brightness of lines across and down, one pixel wide; 0: none.
        pitch: pixels from line to line; the offset is random in each direction.
    Errors:
        ValueError for a contrast outside (0, 1], negative noise, a grid outside [0, 1] and a pitch below 2.
    """

    contrast: float = 1.0
    noise: float = 0.0
    grid: float = 0.0
    pitch: int = 5

    def __post_init__(self) -> None:
        rules = {
            "contrast": (0 < self.contrast <= 1, "lie in (0, 1]: 1 keeps all, 0.8 four fifths"),
            "noise": (0 <= self.noise < np.inf, "be an sd, finite and not negative: 0.2, for example, or 0 for none"),
            "grid": (0 <= self.grid <= 1, "be a brightness in [0, 1]: 0.4, for example, or 0 for none"),
            "pitch": (self.pitch >= 2, "be at least 2 pixels from line to line: 5, for example"),
        }
        for name, (good, rule) in rules.items():
            if not good:
                raise ValueError(f"{name} must {rule}; got {getattr(self, name)}")

    def __call__(self, image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The image (C, H, W) in [0, 1] as it is taken; the one given stays as it is."""
        if self.grid:
            image = self._lined(image, random)
        image = np.float32(self.contrast) * image + np.float32((1 - self.contrast) / 2)
        if self.noise:
            image = image + np.float32(self.noise) * random.standard_normal(image.shape, np.float32)
        return image.clip(0, 1)

    def _lined(self, image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        down, across = random.integers(self.pitch, size=2).tolist()
        lines = np.zeros(image.shape[1:], np.float32)
        lines[down :: self.pitch] = lines[:, across :: self.pitch] = self.grid
        return np.maximum(image, lines)


CLEAN = Degradation()
