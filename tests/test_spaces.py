"""Spaces of `what` and `where`: what they map, and every word they say about what they refuse."""

import math
import re
from typing import Any

import pytest
import torch

from renderers import Categorical, Coordinate, Gaussian, Where

COORDINATES = {
    "uniform": Coordinate("x", "world units", -1.0, 3.0, 0.1),
    "normal": Coordinate("scale", "images", 0.1, 0.9, 0.1, prior="normal", mean=0.5, sd=0.2),
    "circular": Coordinate("yaw", "radians", -math.pi, math.pi, 0.1, circular=True, periods=(math.pi / 2, 0.0)),
}
SPACE = Where(tuple(COORDINATES.values()))


@pytest.mark.parametrize("coordinate", COORDINATES.values(), ids=COORDINATES)
def test_unconstrain_undoes_constrain(coordinate: Coordinate) -> None:
    u = torch.linspace(-2.9, 2.9, 50, dtype=torch.float64)
    assert torch.allclose(coordinate.unconstrain(coordinate.constrain(u)), u, atol=1e-9)


@pytest.mark.parametrize("coordinate", COORDINATES.values(), ids=COORDINATES)
def test_coordinates_grow_with_u(coordinate: Coordinate) -> None:
    assert (coordinate.constrain(torch.linspace(-4, 4, 100, dtype=torch.float64)).diff() > 0).all()


def test_uniform_prior_is_uniform() -> None:
    """u ~ N(0, 1) gives a uniform coordinate: its quantiles are those of u."""
    probability = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    value = COORDINATES["uniform"].constrain(torch.special.ndtri(probability))
    assert torch.allclose(value, -1 + 4 * probability)


def test_uniform_never_leaves_its_support() -> None:
    value = COORDINATES["uniform"].constrain(torch.tensor([-40.0, 40.0]))
    assert value.tolist() == [-1.0, 3.0]


def test_normal_prior_has_its_mean_and_sd() -> None:
    assert COORDINATES["normal"].constrain(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.5, 0.7])


@pytest.mark.parametrize("value, u", [(-1.0, -3.0), (-50.0, -3.0), (3.0, 3.0), (1.0, 0.0)])
def test_unconstrain_stops_just_inside_the_support(value: float, u: float) -> None:
    assert COORDINATES["uniform"].unconstrain(torch.tensor(value)).item() == pytest.approx(u, abs=1e-3)


@pytest.mark.parametrize("coordinate", COORDINATES.values(), ids=COORDINATES)
def test_slope_is_the_derivative(coordinate: Coordinate) -> None:
    u = torch.linspace(-3, 3, 20, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(coordinate.constrain(u).sum(), u)
    torch.testing.assert_close(coordinate.slope(u.detach()), derivative)


@pytest.mark.parametrize("coordinate", COORDINATES.values(), ids=COORDINATES)
@pytest.mark.parametrize("u, sd", [(0.3, 0.01), (0.0, 0.5), (-1.5, 1.5), (3.0, 1.0)])
def test_spread_is_the_sd_in_the_coordinates_unit(coordinate: Coordinate, u: float, sd: float) -> None:
    random = torch.Generator().manual_seed(0)
    values = coordinate.constrain(u + sd * torch.randn(200_000, generator=random, dtype=torch.float64))
    found = coordinate.spread(*torch.tensor([u, sd], dtype=torch.float64))
    assert float(found) == pytest.approx(float(values.std()), rel=0.01)


def test_where_maps_column_by_column() -> None:
    u = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = SPACE.constrain(u)
    for index, coordinate in enumerate(COORDINATES.values()):
        assert torch.equal(value[..., index], coordinate.constrain(u[..., index]))
        assert torch.equal(SPACE.slopes(u)[..., index], coordinate.slope(u[..., index]))
        spread = SPACE.spreads(u, 0.1 + u**2)[..., index]
        assert torch.equal(spread, coordinate.spread(u[..., index], 0.1 + u[..., index] ** 2))
    assert torch.allclose(SPACE.unconstrain(value), u)


def test_clamp_leaves_angles_alone() -> None:
    assert SPACE.clamp(torch.tensor([-9.0, 9.0, 9.0])).tolist() == pytest.approx([-1.0, 0.9, 9.0])


def test_names_and_indices() -> None:
    assert SPACE.names == ("x", "scale", "yaw") and len(SPACE) == 3
    assert SPACE.indices(("yaw", "z", "x")) == [2, 0]


def test_steps_follow_type() -> None:
    steps = SPACE.steps(torch.zeros((), dtype=torch.float64))
    assert steps.dtype == torch.float64 and steps.tolist() == [0.1, 0.1, 0.1]


def test_periods_by_identity() -> None:
    turn = 2 * math.pi
    expected = torch.tensor([[turn, turn, math.pi / 2], [turn, turn, 0.0]])
    assert torch.allclose(SPACE.periods(2, torch.zeros(())), expected)


def test_periods_without_symmetry_are_full_turns() -> None:
    yaw = Coordinate("yaw", "radians", -math.pi, math.pi, 0.1, circular=True)
    assert Where((yaw,)).periods(3, torch.zeros(())).tolist() == [[pytest.approx(2 * math.pi)]] * 3


def test_categorical_counts_its_names() -> None:
    assert len(Categorical(("cube", "cone"))) == 2


def coordinate(**changes: Any) -> Coordinate:
    return Coordinate(**{"name": "x", "unit": "metres", "low": 0.0, "high": 1.0, "step": 0.1, **changes})


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(low=1.0, high=1.0), "'x': low must be smaller than high, both finite, got low=1.0, high=1.0: to fix"),
        (dict(low=2.0), "'x': low must be smaller than high, both finite, got low=2.0, high=1.0"),
        (dict(low=math.nan), "'x': low must be smaller than high, both finite, got low=nan, high=1.0"),
        (dict(high=math.inf), "'x': low must be smaller than high, both finite, got low=0.0, high=inf"),
        (dict(step=0.0), "'x': the finite-difference step must be positive and finite, got 0.0"),
        (dict(step=-0.1), "'x': the finite-difference step must be positive and finite, got -0.1"),
        (dict(step=math.nan), "'x': the finite-difference step must be positive and finite, got nan"),
        (dict(sd=0.0), "'x': the prior's sd must be positive and finite, got 0.0"),
    ],
)
def test_coordinate_refuses(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        coordinate(**changes)


@pytest.mark.parametrize("names", [(), ("x", "x")])
def test_where_refuses_names_that_do_not_tell_apart(names: tuple[str, ...]) -> None:
    said = f"`where` needs one or more coordinates of different names, got {list(names)}"
    with pytest.raises(ValueError, match=re.escape(said)):
        Where(tuple(coordinate(name=name) for name in names))


@pytest.mark.parametrize("names", [(), ("cube", "cone", "cube")])
def test_categorical_refuses_names_that_do_not_tell_apart(names: tuple[str, ...]) -> None:
    said = f"a categorical `what` needs one or more different names, got {list(names)}"
    with pytest.raises(ValueError, match=re.escape(said)):
        Categorical(names)


def test_gaussian_refuses_no_dimension() -> None:
    with pytest.raises(ValueError, match="at least one dimension, got dim=0"):
        Gaussian(0)


@pytest.mark.parametrize("method", ["constrain", "unconstrain", "clamp"])
@pytest.mark.parametrize("shape", [(4, 2), ()])
def test_where_refuses_another_width(method: str, shape: tuple[int, ...]) -> None:
    said = f"`where` must have shape (..., 3), got {shape}: the renderer's pose has 3 coordinates (x, scale, yaw)"
    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(SPACE, method)(torch.zeros(shape))
