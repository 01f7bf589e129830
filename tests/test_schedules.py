"""Schedules: their ends, the law between them, and what they refuse."""

import math

import pytest

from air_lightning.schedules import Constant, Geometric, Linear, Schedule

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
    text = f"a geometric schedule needs positive ends, got start={start} and end={end}"
    with pytest.raises(ValueError, match=text):
        Geometric(start, end, 5)
