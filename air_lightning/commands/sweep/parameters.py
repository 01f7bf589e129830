"""The parameters of a W&B sweep: what each may be, and how a number that was drawn becomes its value.

Names and meanings are W&B's (https://docs.wandb.ai/models/sweeps/sweep-config-keys).
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from air_lightning.commands.sweep.shares import SHAPES, WEIGHTED, Shaped, Weighted, rounded, shaped, weighted


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
        return rounded(math.exp(drawn) if self.exponent else drawn, self.quantum)

    def points(self, name: str) -> tuple[float, ...]:
        """What a grid goes through.

        Raises:
            ValueError: between the ends there is no end of values.
        """
        step = 1 if self.integer else self.quantum
        if step is None or self.log or self.exponent:
            raise ValueError(ENDLESS.format(name))
        if (self.high - self.low) / step > MOST:
            raise ValueError(f"parameter {name!r} has more than {MOST} values, and method grid goes through all")
        inner = Range(self.low, self.high, quantum=step)
        return tuple(inner.value(n * step) for n in range(round(self.low / step), round(self.high / step) + 1))


Parameter = Choice | Range | Shaped | Weighted

ENDLESS = (
    "parameter {!r} has no end of values, and method grid goes through all: "
    "give its `values`, or choose method random or bayes"
)
RANGES: dict[str, dict[str, bool]] = {
    "uniform": {},
    "int_uniform": {"integer": True},
    "q_uniform": {},
    "log_uniform_values": {"log": True},
    "q_log_uniform_values": {"log": True},
    "log_uniform": {"exponent": True},
    "q_log_uniform": {"exponent": True},
    "inv_log_uniform": {"exponent": True},
    "inv_log_uniform_values": {"log": True},
}
MOST = 10_000
"""Values of one parameter in a grid: nobody means to have more runs."""
LARGEST = 700.0
"""Of a logarithm: e to it is still a number."""
KNOWN = ("constant", "categorical", WEIGHTED, *RANGES, *SHAPES)


def read_all(given: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Parameter]]:
    """Names and parameters of a sweep file's `parameters`; of nested ones the names are joined by dots.

    Raises:
        ValueError: an entry is none that we know.
    """
    for key, settings in given.items():
        name = f"{prefix}{key}"
        if not isinstance(settings, Mapping) or "parameters" not in settings:
            yield name, read(name, settings)
            continue
        nested = settings["parameters"]
        if len(settings) > 1 or not isinstance(nested, Mapping) or not nested:
            raise ValueError(
                f"parameter {name!r} must have `parameters` by name and no other key, got {dict(settings)}"
            )
        yield from read_all(nested, f"{name}.")


def read(name: str, settings: Any) -> Parameter:
    """A parameter from its entry in the sweep file.

    Raises:
        ValueError: the entry is none that we know.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"parameter {name!r} must be a mapping such as {{values: [1, 2]}}, got {settings!r}")
    kind = str(settings["distribution"] if "distribution" in settings else _implied(name, settings))
    if kind not in KNOWN:
        raise ValueError(f"parameter {name!r} has the distribution {kind!r}: known here are {', '.join(KNOWN)}")
    if kind in SHAPES:
        return shaped(name, kind, settings)
    return _range(name, kind, settings) if kind in RANGES else _choice(name, kind, settings)


def grid(parameters: Mapping[str, Parameter]) -> dict[str, Choice]:
    """The parameters as the choices that a grid goes through.

    Raises:
        ValueError: there is no end of them, or one comes twice.
    """
    choices = dict[str, Choice]()
    for name, parameter in parameters.items():
        if isinstance(parameter, (Shaped, Weighted)):
            raise ValueError(
                f"parameter {name!r} has probabilities, which method grid has no use for: leave them out"
                if isinstance(parameter, Weighted)
                else ENDLESS.format(name)
            )
        choices[name] = Choice(parameter.points(name))
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
    if "probabilities" in settings:
        return WEIGHTED
    for key, kind in (("value", "constant"), ("values", "categorical")):
        if key in settings:
            return kind
    if "min" in settings and "max" in settings:
        whole = isinstance(settings["min"], int) and isinstance(settings["max"], int)
        return "int_uniform" if whole else "uniform"
    raise ValueError(f"parameter {name!r} needs `value`, `values`, or `min` and `max`, got {dict(settings)}")


def _choice(name: str, kind: str, settings: Mapping[str, Any]) -> Choice | Weighted:
    key = "value" if kind == "constant" else "values"
    _check_keys(name, kind, settings, {key, "probabilities"} if kind == WEIGHTED else {key})
    values = [settings[key]] if kind == "constant" else settings[key]
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"parameter {name!r} must have a list of values, not empty, got {values!r}")
    if _holds_null(values):
        raise ValueError(f"parameter {name!r} has the value null, which `wandb agent` cannot pass on: leave it out")
    try:
        json.dumps(values)
    except TypeError as error:
        raise ValueError(
            f"parameter {name!r} has a value that is no number nor text, write it in quotes: {error}"
        ) from error
    return weighted(name, tuple(values), settings["probabilities"]) if kind == WEIGHTED else Choice(tuple(values))


def _holds_null(value: Any) -> bool:
    """Whether there is a null anywhere in a value: `wandb agent` writes it as None, which YAML takes for a word."""
    if isinstance(value, Mapping):
        return any(map(_holds_null, (*value, *value.values())))
    return any(map(_holds_null, value)) if isinstance(value, (list, tuple)) else value is None


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
    end, largest = ("min", -low) if kind == "inv_log_uniform" else ("max", high)
    if RANGES[kind].get("exponent") and largest > LARGEST:
        raise ValueError(
            f"parameter {name!r}: {end} of {kind} is a logarithm, and e to {largest} is too large: "
            f"log_uniform_values takes the values themselves"
        )
    if not low < high:
        raise ValueError(f"parameter {name!r}: min must be below max, got {low} and {high}")
    if quantum is not None and not quantum > 0:
        raise ValueError(f"parameter {name!r}: q must be positive, got {quantum}")
    if RANGES[kind].get("log") and not low > 0:
        raise ValueError(f"parameter {name!r}: {kind} needs a positive min, got {low}")
    if kind == "inv_log_uniform":  # the logarithm of the number's inverse lies between the ends
        low, high = -high, -low
    return Range(low, high, quantum=quantum, **RANGES[kind])


def _check_keys(
    name: str, kind: str, settings: Mapping[str, Any], needed: set[str], optional: set[str] | None = None
) -> None:
    given = set(settings) - {"distribution"}
    if missing := needed - given:
        raise ValueError(f"parameter {name!r}: {kind} needs {' and '.join(sorted(missing))}, got {dict(settings)}")
    if unknown := given - needed - (optional or set()):
        raise ValueError(f"parameter {name!r}: {kind} knows no {', '.join(sorted(unknown))}: leave it out")
