"""A sweep as a W&B sweep file defines it (https://docs.wandb.ai/models/sweeps/sweep-config-keys)."""

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from air_lightning.commands.sweep import parameters as kinds
from air_lightning.commands.sweep.parameters import Parameter

Method = Literal["grid", "random", "bayes"]
METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
ARGS = "${args}"
OURS = ("run_dir", "resume")
"""Arguments of `fit` that the sweep itself gives."""
USED = ("method", "metric", "parameters", "program", "command", "early_terminate", "run_cap")
FOR_PEOPLE = ("name", "description", "project", "entity")
"""Keys that change no run: what the sweep is called and where W&B shows it."""


@dataclass(frozen=True)
class Metric:
    """What is optimised: a column of the runs' ``metrics.csv``.

    Attributes:
        target: no more runs begin once one has reached this value; None: they go on.
    """

    name: str
    goal: Literal["minimize", "maximize"]
    target: float | None = field(default=None, repr=False)  # a sweep stays the same with another one

    def best(self, curve: Sequence[tuple[int, float]]) -> tuple[int | None, float | None]:
        """(step, value) of the best that is finite of a curve, (None, None) where there is none."""
        finite = [point for point in curve if math.isfinite(point[1])]
        if not finite:
            return None, None
        return (max if self.goal == "maximize" else min)(finite, key=lambda point: point[1])

    def reached(self, value: float | None) -> bool:
        """Whether a value is as good as the target, or better."""
        if self.target is None or value is None:
            return False
        return value >= self.target if self.goal == "maximize" else value <= self.target


@dataclass(frozen=True)
class Halving:
    """Early termination: at the validations first, first * eta, first * eta^2 ... only the best 1 / eta go on."""

    first: int
    eta: int


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        parameters: by dotted name, in the order of the file. program, command: as in the file; see ``arguments``.
        early: early termination, or None. run_cap: the most runs, or None.
    """

    method: Method
    metric: Metric
    parameters: dict[str, Parameter]
    program: str
    command: tuple[str, ...]
    early: Halving | None
    run_cap: int | None

    def argv(self, interpreter: str, values: Mapping[str, Any], further: Sequence[str] = ()) -> list[str]:
        """The command of one run; ``further`` arguments come before the parameters', which win over them.

        They are written as `wandb agent` does. ``${env}`` is left out.
        """
        flags = [*further, *(f"--{name}={_written(value)}" for name, value in values.items())]
        macros = {"${env}": [], "${interpreter}": [interpreter], "${program}": [self.program], ARGS: flags}
        return [part for word in self.command for part in macros.get(word, [word])]


def _written(value: Any) -> str:
    """Lists and mappings as JSON, which YAML reads as it was meant, whatever texts they hold."""
    return json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)


def load(path: Path) -> Sweep:
    """The sweep that a file defines.

    Raises:
        ValueError: there is no such file, or it is no sweep file that we understand.
    """
    if not path.is_file():
        raise ValueError(f"sweep file {str(path)!r} does not exist: give one such as configs/sweeps/scenes3d.yaml")
    try:
        return _sweep(yaml.load(path.read_text(), _Loader))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ValueError(f"sweep file {str(path)!r}: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML in which no key comes twice: PyYAML would take the later one and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(problem=f"{twice[0]!r} comes twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _sweep(content: Any) -> Sweep:
    if not isinstance(content, Mapping):
        raise ValueError(f"must be a mapping with method, metric, parameters and command, got {content!r}")
    if unknown := sorted(set(content) - {*USED, *FOR_PEOPLE}):
        raise ValueError(f"unknown key {unknown[0]!r}: known are {', '.join((*USED, *FOR_PEOPLE))}")
    method = content.get("method")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    given = content.get("parameters")
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"parameters must be a mapping of dotted names, model.lr for example, got {given!r}")
    parameters = _parameters(given)
    if method == "grid":
        parameters = {**kinds.grid(parameters)}
    return Sweep(
        cast(Method, method),
        _metric(content.get("metric")),
        parameters,
        str(content.get("program", "")),
        _command(content.get("command"), content.get("program")),
        _halving(content.get("early_terminate")),
        _run_cap(content.get("run_cap")),
    )


def _parameters(given: Mapping[Any, Any]) -> dict[str, Parameter]:
    parameters = dict[str, Parameter]()
    for name, parameter in kinds.read_all(given):
        if name in parameters:
            raise ValueError(f"parameter {name!r} comes twice, nested and by its dotted name: leave one out")
        parameters[_name(name)] = parameter
    return parameters


def _name(name: str) -> str:
    if name in OURS:
        raise ValueError(f"parameter {name!r} is not yours to give, every run has its own: leave it out")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"parameter {name!r} is no dotted name of an argument: write it as model.lr, without dashes")
    return name


def _metric(given: Any) -> Metric:
    if not isinstance(given, Mapping) or "name" not in given:
        raise ValueError(f"metric must have a name and a goal, {{name: val/elbo, goal: maximize}}, got {given!r}")
    if unknown := sorted(set(given) - {"name", "goal", "target"}):
        raise ValueError(f"metric knows no {unknown[0]!r}: known are name, goal, target")
    goal = given.get("goal", "minimize")  # W&B's own default
    if goal not in GOALS:
        raise ValueError(f"metric.goal must be one of {', '.join(GOALS)}, got {goal!r}")
    target = given.get("target")
    if target is not None and (isinstance(target, bool) or not isinstance(target, (int, float)) or target != target):
        raise ValueError(f"metric.target must be a number (with a point and a sign: 1.0e-3), got {target!r}")
    return Metric(str(given["name"]), cast(Literal["minimize", "maximize"], goal), target)


def _command(given: Any, program: Any) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(f"command must be a list that ends in {ARGS}, got {given!r}")
    words = tuple(str(word) for word in given)
    known = ("${env}", "${interpreter}", "${program}", ARGS)
    if unknown := [word for word in words if word.startswith("${") and word not in known]:
        raise ValueError(f"command has {unknown[0]!r}: known are {', '.join(known)}")
    if not words or words[-1] != ARGS or words.count(ARGS) != 1:
        raise ValueError(f"command must have {ARGS} as its last item, got {list(words)}")
    if "fit" not in words:
        raise ValueError(f"command must run `fit`, got {list(words)}")
    if "${program}" in words and program is None:
        raise ValueError("command has ${program}, but there is no program: give program: air_lightning")
    return words


def _halving(given: Any) -> Halving | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "hyperband":
        raise ValueError(f"early_terminate must be of type hyperband, got {given!r}")
    if unknown := sorted(set(given) - {"type", "min_iter", "max_iter", "s", "eta", "strict"}):
        raise ValueError(f"early_terminate knows no {unknown[0]!r}: known are min_iter, max_iter, s, eta, strict")
    if given.get("strict"):
        raise ValueError(
            f"early_terminate.strict must be false, got {given['strict']!r}: no stricter rule is known here"
        )
    eta = _whole("early_terminate.eta", given.get("eta", 3), 2)
    if "min_iter" in given:
        return Halving(_whole("early_terminate.min_iter", given["min_iter"], 1), eta)
    if "max_iter" not in given or "s" not in given:
        raise ValueError(f"early_terminate needs min_iter, or max_iter and s, got {dict(given)}")
    last = _whole("early_terminate.max_iter", given["max_iter"], 1)
    return Halving(max(1, int(last / eta ** _whole("early_terminate.s", given["s"], 1))), eta)


def _run_cap(given: Any) -> int | None:
    return None if given is None else _whole("run_cap", given, 1)


def _whole(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
