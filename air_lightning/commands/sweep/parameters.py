"""The parameters of a W&B sweep: what each may be, and how a number that was drawn becomes its value.

Names and meanings are W&B's (https://docs.wandb.ai/models/sweeps/sweep-config-keys).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One of some values, each as likely as the others; a constant is a choice of one."""

    values: tuple[Any, ...]

    def points(self, name: str) -> tuple[Any, ...]:
        """What a grid goes through."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A number between two ends, uniform, or uniform in its logarithm.

    Attributes:
        low, high: the ends. integer: both ends and all between are whole numbers. log: uniform in the logarithm.
        exponent: it is e to what is drawn. quantum: and then rounded to a multiple of this one.
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False
    exponent: bool = False
    quantum: float | None = None

    def value(self, drawn: float) -> float:
        """The parameter's value for a number drawn between the ends."""
        value = math.exp(drawn) if self.exponent else drawn
        if self.quantum is None:
            return value
        rounded = round(value / self.quantum) * self.quantum
        return int(rounded) if isinstance(self.quantum, int) else float(f"{rounded:.12g}")  # 0.3, not 0.1 * 3

    def points(self, name: str) -> tuple[float, ...]:
        """What a grid goes through.

        Raises:
            ValueError: between the ends there is no end of values.
        """
        step = 1 if self.integer else self.quantum
        if step is None or self.log or self.exponent:
            raise ValueError(
                f"parameter {name!r} has no end of values, and method grid goes through all: "
                "give its `values`, or choose method random or bayes"
            )
        if (self.high - self.low) / step > MOST:
            raise ValueError(f"parameter {name!r} has more than {MOST} values, and method grid goes through all")
        inner = Range(self.low, self.high, quantum=step)
        return tuple(inner.value(n * step) for n in range(round(self.low / step), round(self.high / step) + 1))


Parameter = Choice | Range

RANGES: dict[str, dict[str, bool]] = {
    "uniform": {},
    "int_uniform": {"integer": True},
    "q_uniform": {},
    "log_uniform_values": {"log": True},
    "q_log_uniform_values": {"log": True},
    "log_uniform": {"exponent": True},
    "q_log_uniform": {"exponent": True},
}
MOST = 10_000
"""Values of one parameter in a grid: nobody means to have more runs."""
LARGEST = 700.0
"""Of a logarithm: e to it is still a number."""
KNOWN = ("constant", "categorical", *RANGES)


def read(name: str, settings: Any) -> Parameter:
    """A parameter from its entry in the sweep file.

    Raises:
        ValueError: the entry is none that we know.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"parameter {name!r} must be a mapping such as {{values: [1, 2]}}, got {settings!r}")
    if "parameters" in settings:
        raise ValueError(f"parameter {name!r} is nested: write it flat, as `{name}.<argument>`")
    kind = str(settings["distribution"] if "distribution" in settings else _implied(name, settings))
    if kind not in KNOWN:
        raise ValueError(f"parameter {name!r} has the distribution {kind!r}: known here are {', '.join(KNOWN)}")
    return _range(name, kind, settings) if kind in RANGES else _choice(name, kind, settings)


def grid(parameters: Mapping[str, Parameter]) -> dict[str, Choice]:
    """The parameters as the choices that a grid goes through.

    Raises:
        ValueError: there is no end of them, or one comes twice.
    """
    choices = {name: Choice(parameter.points(name)) for name, parameter in parameters.items()}
    for name, choice in choices.items():
        texts = [json.dumps(value) for value in choice.values]
        if twice := [text for text in texts if texts.count(text) > 1]:
            raise ValueError(f"parameter {name!r} has the value {twice[0]} twice, and method grid would run it twice")
    return choices


def size(choices: Mapping[str, Choice]) -> int:
    """How many combinations there are."""
    return math.prod(len(choice.values) for choice in choices.values())


def nth(choices: Mapping[str, Choice], n: int) -> dict[str, Any]:
    """Combination ``n``, from 0; the last parameter changes fastest."""
    values = dict[str, Any]()
    for name, choice in reversed(list(choices.items())):
        n, place = divmod(n, len(choice.values))
        values[name] = choice.values[place]
    return dict(reversed(list(values.items())))


def _implied(name: str, settings: Mapping[str, Any]) -> str:
    """The distribution that W&B takes where none is given."""
    for key, kind in (("value", "constant"), ("values", "categorical")):
        if key in settings:
            return kind
    if "min" in settings and "max" in settings:
        whole = isinstance(settings["min"], int) and isinstance(settings["max"], int)
        return "int_uniform" if whole else "uniform"
    raise ValueError(f"parameter {name!r} needs `value`, `values`, or `min` and `max`, got {dict(settings)}")


def _choice(name: str, kind: str, settings: Mapping[str, Any]) -> Choice:
    key = {"constant": "value", "categorical": "values"}[kind]
    _check_keys(name, kind, settings, {key})
    values = [settings[key]] if kind == "constant" else settings[key]
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"parameter {name!r} must have a list of values, not empty, got {values!r}")
    if None in values:
        raise ValueError(f"parameter {name!r} has the value null, which `wandb agent` cannot pass on: leave it out")
    try:
        json.dumps(values)
    except TypeError as error:
        raise ValueError(
            f"parameter {name!r} has a value that is no number nor text, write it in quotes: {error}"
        ) from error
    return Choice(tuple(values))


def _range(name: str, kind: str, settings: Mapping[str, Any]) -> Range:
    quantized = kind.startswith("q_")
    _check_keys(name, kind, settings, {"min", "max"}, {"q"} if quantized else set())
    low, high, quantum = settings["min"], settings["max"], settings.get("q", 1) if quantized else None
    allowed = (int,) if kind == "int_uniform" else (int, float)
    for key, value in (("min", low), ("max", high), *([("q", quantum)] if quantized else [])):
        if not isinstance(value, allowed) or isinstance(value, bool):
            wanted = "a whole number" if kind == "int_uniform" else "a number (with a point and a sign: 1.0e-3)"
            raise ValueError(f"parameter {name!r}: {key} must be {wanted}, got {value!r}")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"parameter {name!r}: min and max must be finite, got {low} and {high}")
    if RANGES[kind].get("exponent") and high > LARGEST:
        raise ValueError(
            f"parameter {name!r}: max of {kind} is a logarithm, and e to {high} is too large: "
            f"log_uniform_values takes the values themselves"
        )
    if not low < high:
        raise ValueError(f"parameter {name!r}: min must be below max, got {low} and {high}")
    if quantum is not None and not quantum > 0:
        raise ValueError(f"parameter {name!r}: q must be positive, got {quantum}")
    if RANGES[kind].get("log") and not low > 0:
        raise ValueError(f"parameter {name!r}: {kind} needs a positive min, got {low}")
    return Range(low, high, quantum=quantum, **RANGES[kind])


def _check_keys(
    name: str, kind: str, settings: Mapping[str, Any], needed: set[str], optional: set[str] | None = None
) -> None:
    given = set(settings) - {"distribution"}
    if missing := needed - given:
        raise ValueError(f"parameter {name!r}: {kind} needs {' and '.join(sorted(missing))}, got {dict(settings)}")
    if unknown := given - needed - (optional or set()):
        raise ValueError(f"parameter {name!r}: {kind} knows no {', '.join(sorted(unknown))}: leave it out")
