"""From a file's own numbers to the values that models see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.image_files.record import RawImage

Pixels = NDArray[Any]
"""uint8, of which 255 is 1, or float32, which is what the model sees."""
DIM = 1 / 4
"""Files of 16 bits that reach no higher share of their range are worth a warning: they are rarely meant so."""


def white_of(dtype: np.dtype[Any]) -> float | None:
    """The value of a dtype that stands for 1 where none is stated; None of integers that have no usual one."""
    if dtype == np.bool_ or np.issubdtype(dtype, np.floating):
        return 1.0
    return {"uint8": 255.0, "uint16": 65535.0}.get(dtype.name)


def _is_sixteen_bits(values: NDArray[Any]) -> bool:
    return values.dtype.name == "uint16"  # in either order of bytes


@dataclass(frozen=True)
class Levels:
    """Which of a file's numbers are black and white: x = (raw - offset) / scale. Transparent parts become 0.

    With neither stated, 8 bits are divided by 255, 16 bits by 65535, and real values must lie in [0, 1] already.
    With either stated x may be any finite number: what is brighter than white stays brighter.

    Args:
        scale: raw numbers from black to white; None: 255 of 8 bits, 65535 of 16 bits, 1 of real values.
        offset: the raw number that is black.
    Errors:
        ValueError for a scale of 0, and for either infinite or NaN.
    """

    scale: float | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.scale is not None and not (np.isfinite(self.scale) and self.scale != 0):
            raise ValueError(
                f"scale must be a finite number other than 0, got {self.scale}: x = (raw - offset) / scale, so it is "
                "the raw value of white less that of black"
            )
        if not np.isfinite(self.offset):
            raise ValueError(f"offset must be a finite number, got {self.offset}: it is the raw value of black")

    @property
    def stated(self) -> bool:
        """Whether they are other than the file types' own."""
        return self.scale is not None or self.offset != 0

    def __call__(self, raw: RawImage) -> Pixels:
        """(H, W) or (H, W, 3): of 8 bits and bool uint8 unless levels are stated; else float32.

        Errors:
            ValueError for numbers that are not finite, and for those that have no white of their own.
        """
        if raw.values.dtype in (np.uint8, np.bool_) and not self.stated:
            bits = raw.values.astype(np.uint8) * (255 if raw.values.dtype == np.bool_ else 1)
            shown: Pixels = bits if raw.alpha is None else (bits * _alpha_factor(raw)).round().astype(np.uint8)
            return shown
        real = (raw.values.astype(np.float64) - self.offset) / self._white(raw.values)
        return (real if raw.alpha is None else real * _alpha_factor(raw)).astype(np.float32)

    def peak(self, raw: RawImage) -> int:
        """The largest opaque value of 16 bits for which no levels are stated; 0 of other images."""
        if not _is_sixteen_bits(raw.values) or self.stated:
            return 0
        return int((raw.values if raw.alpha is None else raw.values * (_alpha_factor(raw) > 0)).max())

    def _white(self, values: NDArray[Any]) -> float:
        white = white_of(values.dtype) if self.scale is None else self.scale
        if not np.isfinite(values).all():
            raise ValueError("real values must be finite, found NaN or infinite ones: replace them first")
        if white is None:
            raise ValueError(
                f"found {values.dtype} values from {values.min()} to {values.max()}, of which none is known to be "
                "white: give `scale`, the value of white (x = (raw - offset) / scale)"
            )
        if not self.stated and not _is_sixteen_bits(values) and not ((values >= 0) & (values <= 1)).all():
            found = f"{float(values.min()):.9g} to {float(values.max()):.9g}"
            raise ValueError(
                f"real values must lie in [0, 1], found {found}: give `scale`, the value of white, and `offset`, that "
                "of black (x = (raw - offset) / scale)"
            )
        return white


class Peaks:
    """The brightest values of files, by which those of 16 bits are known that are nearly black."""

    def __init__(self) -> None:
        self._of: dict[Path, int] = {}

    def add(self, path: Path, peak: int) -> None:
        """Note an image's ``Levels.peak``, in a file that may hold several."""
        self._of[path] = max(peak, self._of.get(path, 0))

    def note(self, option: str) -> str | None:
        """What to say of files of 16 bits that are darker than they should be; None where there are none.

        Args:
            option: by which users give the scale.
        """
        dim = {path: peak for path, peak in self._of.items() if 0 < peak <= 65535 * DIM}
        if not dim:
            return None
        peak, some = max(dim.values()), len(dim) < len(self._of)
        bits, white = peak.bit_length(), 2 ** peak.bit_length() - 1
        are = "file is" if len(self._of) == 1 else "files is" if len(dim) == 1 else "files are"
        return (
            f"{len(dim)} of {len(self._of)} {are} nearly black ({next(iter(dim))} first): the largest of the 16-bit "
            f"values there is {peak}, {peak / 65535:.2g} of white; if they hold {bits} bits give {option} {white} "
            f"(x = raw / {white}){' to them alone' if some else ''}, if they are meant so {option} 65535"
        )


def _alpha_factor(raw: RawImage) -> NDArray[np.float32]:
    """The alpha as it multiplies the values."""
    assert raw.alpha is not None
    return raw.alpha if raw.values.ndim == 2 else raw.alpha[..., None]
