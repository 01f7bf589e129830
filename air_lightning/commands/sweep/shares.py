"""Parameters of which a share between 0 and 1 is drawn: the value below which that share of a distribution lies.

Names, defaults and values are those of W&B (https://docs.wandb.ai/models/sweeps/sweep-config-keys).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from scipy import stats

LEAST = 1e-9
"""Shares are drawn from here to one less this: at 0 and 1 a distribution may have no end."""


@dataclass(frozen=True)
class Weighted:
    """One of some values, each with a probability of its own."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...]

    def value(self, share: float) -> Any:
        """The first value at which the probabilities so far exceed the share."""
        sums = accumulate(self.probabilities)
        likely = [value for value, p in zip(self.values, self.probabilities) if p > 0]
        return next((value for value, total in zip(self.values, sums) if share < total), likely[-1])


@dataclass(frozen=True)
class Shaped:
    """A number with a normal, log-normal or beta distribution.

    Attributes:
        kind: ``normal`` or ``log_normal`` (first: mu, second: sigma, of the logarithm in the latter), or ``beta``
            (first: a, second: b). quantum: rounded to a multiple of this one.
    """

    kind: str
    first: float
    second: float
    quantum: float | None = None

    def value(self, share: float) -> float:
        """The value below which this share lies."""
        if self.kind == "beta":
            return rounded(float(stats.beta.ppf(share, self.first, self.second)), self.quantum)
        drawn = float(stats.norm.ppf(share, self.first, self.second))
        return rounded(math.exp(drawn) if self.kind == "log_normal" else drawn, self.quantum)


ARGUMENTS = {"normal": ("mu", "sigma"), "log_normal": ("mu", "sigma"), "beta": ("a", "b")}
DEFAULTS = {"mu": 0.0, "sigma": 1.0, "a": 1.0, "b": 1.0, "q": 1}
SHAPES = (*ARGUMENTS, *(f"q_{kind}" for kind in ARGUMENTS))
WEIGHTED = "categorical_w_probabilities"


def rounded(value: float, quantum: float | None) -> float:
    """To the nearest multiple of a quantum; a whole number where that is one."""
    if quantum is None:
        return value
    multiple = round(value / quantum) * quantum
    return int(multiple) if isinstance(quantum, int) else float(f"{multiple:.12g}")  # 0.3, not 0.1 * 3


def shaped(name: str, kind: str, settings: Mapping[str, Any]) -> Shaped:
    """The parameter of a distribution of ``SHAPES``.

    Raises:
        ValueError: a key or a value is wrong.
    """
    plain = kind.removeprefix("q_")
    keys = (*ARGUMENTS[plain], *(("q",) if kind != plain else ()))
    if unknown := sorted(set(settings) - {*keys, "distribution"}):
        raise ValueError(f"parameter {name!r}: {kind} knows no {', '.join(unknown)}: known are {', '.join(keys)}")
    given = {key: settings.get(key, DEFAULTS[key]) for key in keys}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(
                f"parameter {name!r}: {key} must be a number (with a point and a sign: 1.0e-3), got {value!r}"
            )
        if key != "mu" and not value > 0:
            raise ValueError(f"parameter {name!r}: {key} must be positive, got {value}")
    first, second = (float(given[key]) for key in ARGUMENTS[plain])
    return Shaped(plain, first, second, given.get("q"))


def weighted(name: str, values: tuple[Any, ...], probabilities: Any) -> Weighted:
    """The parameter of some values and their probabilities.

    Raises:
        ValueError: they are not as many, or no probabilities.
    """
    numbers = isinstance(probabilities, list) and all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and p >= 0 for p in probabilities
    )
    if not numbers or len(probabilities) != len(values) or not math.isclose(sum(probabilities), 1.0, rel_tol=1e-5):
        raise ValueError(
            f"parameter {name!r}: probabilities must be {len(values)} numbers >= 0 that add up to 1, one for each "
            f"value, got {probabilities!r}"
        )
    return Weighted(values, tuple(float(p) for p in probabilities))
