"""Schedules: their ends, the law between them, and what they refuse."""

import math
from pathlib import Path
from typing import Any

import pytest
from runs_for_tests import DISCS, write_run

from air_lightning.runs.loading import load_module
from air_lightning.schedules import Constant, Geometric, Linear, Schedule

GEOMETRIC = {"class_path": "air_lightning.schedules.Geometric", "init_args": {"start": 1.0, "end": 0.3, "steps": 9}}
MOVING = [Linear, Geometric]


def test_constant() -> None:
    assert [Constant(0.3)(step) for step in (0, 1, 10**9)] == [0.3] * 3


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("start, end", [(2.0, 0.2), (0.2, 2.0), (1.0, 1.0)])
def test_ends(kind: type[Schedule], start: float, end: float) -> None:
    schedule = kind(start, end, 50)  # type: ignore[call-arg]
    assert schedule(0) == start
    assert [schedule(step) for step in (50, 51, 10**9)] == pytest.approx([end] * 3, rel=1e-12)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("start, end", [(2.0, 0.2), (0.2, 2.0)])
def test_monotone(kind: type[Schedule], start: float, end: float) -> None:
    values = [kind(start, end, 50)(step) for step in range(60)]  # type: ignore[call-arg]
    assert values == sorted(values, reverse=start > end)
    assert len(set(values)) == 51


@pytest.mark.parametrize("own", [{}, {"likelihood_sd": 0.3, "coarseness": 1}, {"likelihood_sd": GEOMETRIC}])
def test_a_number_is_a_schedule_that_never_moves(tmp_path: Path, own: dict[str, Any]) -> None:
    run = write_run(tmp_path / "run", DISCS, **own)
    module = load_module(run, options=["--model.likelihood_sd", "0.2", "--model.coarseness", "2"])
    assert isinstance(module.likelihood.scale, Schedule) and isinstance(module.coarseness, Schedule)
    assert [module.likelihood.scale(0), module.likelihood.scale.last] == [0.2, 0.2]
    assert [module.coarseness(0), module.coarseness.last] == [2.0, 2.0]
    assert module.overrides == {"likelihood_sd": 0.2}


def test_numbers_of_a_run_give_way_to_schedules(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", DISCS, likelihood_sd=0.3)
    given = ["Geometric", "--model.likelihood_sd.start", "1", "--model.likelihood_sd.end", "0.2"]
    module = load_module(run, options=["--model.likelihood_sd", *given, "--model.likelihood_sd.steps", "9"])
    assert isinstance(module.likelihood.scale, Geometric) and module.likelihood.scale.last == pytest.approx(0.2)


def test_linear_has_equal_differences() -> None:
    values = [Linear(3.0, -1.0, 8)(step) for step in range(9)]
    assert [b - a for a, b in zip(values, values[1:])] == pytest.approx([-0.5] * 8)


def test_geometric_has_equal_ratios() -> None:
    values = [Geometric(2.0, 0.125, 8)(step) for step in range(9)]
    assert [math.log2(b / a) for a, b in zip(values, values[1:])] == pytest.approx([-0.5] * 8)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("steps", [0, -5])
def test_a_schedule_needs_steps(kind: type[Schedule], steps: int) -> None:
    text = f"a schedule needs at least 1 step, got {steps}: Constant never moves"
    with pytest.raises(ValueError, match=text):
        kind(1.0, 0.5, steps)  # type: ignore[call-arg]


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (1.0, 0.0), (-1.0, -2.0), (math.nan, 1.0)])
def test_geometric_needs_positive_ends(start: float, end: float) -> None:
    text = f"a geometric schedule needs positive and finite ends, got start={start} and end={end}"
    with pytest.raises(ValueError, match=text):
        Geometric(start, end, 5)
