"""Functions that compare scenes: cases by hand, laws against brute force, and every error, SceneMetrics' included."""

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from objects_for_tests import (
    ARROW,
    CUBE,
    INFERRED,
    NAN,
    PERIODS,
    SPHERE,
    TRUE,
    metrics,
    one_arrow,
    random_objects,
    scene,
)
from torch import Tensor

from air_lightning.metrics import (
    Objects,
    compare_objects,
    count_confusion,
    count_rates,
    match_objects,
    median,
    rotation_error,
    scene_accuracy,
    scene_right,
)
from air_lightning.metrics.averages import MeanByCount
from air_lightning.metrics.counts import rates_by_count

# ---- matching


def brute_force(inferred: Tensor, true: Tensor) -> float:
    """Least sum of distances over all ways to pair (n, D) with (t, D) positions."""
    if len(inferred) > len(true):
        inferred, true = true, inferred
    ways = itertools.permutations(range(len(true)), len(inferred))
    return min(sum(math.dist(a, true[j]) for a, j in zip(inferred, way, strict=True)) for way in ways)


@pytest.mark.parametrize(("slots", "true_slots"), [(3, 3), (4, 2), (2, 4), (1, 3)])
@pytest.mark.parametrize("coordinates", [1, 2, 3])
def test_matching_is_the_best_of_all_permutations(slots: int, true_slots: int, coordinates: int) -> None:
    generator = torch.Generator().manual_seed(slots + 10 * true_slots)
    inferred = random_objects(generator, 40, slots, coordinates)
    truth = random_objects(generator, 40, true_slots, coordinates)
    matching = match_objects(inferred, truth)
    assert matching.mask.shape == matching.inferred.shape == matching.true.shape == (40, min(slots, true_slots))
    for b, (n, t) in enumerate(zip(inferred.count.tolist(), truth.count.tolist(), strict=True)):
        ours, theirs = matching.inferred[b][matching.mask[b]], matching.true[b][matching.mask[b]]
        assert len(ours) == len(set(ours.tolist())) == len(set(theirs.tolist())) == min(n, t)
        assert all(ours < n) and all(theirs < t)
        found = (inferred.position[b, ours] - truth.position[b, theirs]).norm(dim=1).sum().item()
        assert found == pytest.approx(brute_force(inferred.position[b, :n], truth.position[b, :t]), abs=1e-5)


def test_matching_is_optimal_where_greedy_is_not() -> None:
    # the closest pair, 1 and 0.6, would leave 0 with 2: 0.4 + 2 in all, against 0.6 + 1
    inferred, truth = scene((0, 0, 0, 0), (0, 1, 0, 0)), scene((0, 2, 0, 0), (0, 0.6, 0, 0))
    matching = match_objects(inferred, truth)
    pairs = set(zip(matching.inferred[0, :2].tolist(), matching.true[0, :2].tolist(), strict=True))
    assert pairs == {(0, 1), (1, 0)}
    assert matching.mask.tolist() == [[True, True, False]]


def test_matching_pads_with_slot_zero() -> None:
    matching = match_objects(scene((0, 5, 0, 0), (0, 1, 0, 0)), scene((0, 1, 0, 0)))
    assert matching.inferred.tolist() == [[1, 0, 0]]
    assert matching.true.tolist() == [[0, 0, 0]]
    assert matching.mask.tolist() == [[True, False, False]]


def test_matching_is_exact_far_from_the_origin() -> None:
    far = 4096.0
    inferred = scene((0, far, 0, 0), (0, far + 0.5, 0, 0))
    truth = scene((0, far + 0.5, 0, 0), (0, far, 0, 0))
    assert match_objects(inferred, truth).true.tolist() == [[1, 0, 0]]
    assert compare_objects(inferred, truth).position[0, :2].tolist() == [0.0, 0.0]


def test_no_scenes_at_all() -> None:
    generator = torch.Generator()
    nothing = random_objects(generator, 0, 3)
    assert match_objects(nothing, nothing).mask.shape == (0, 3)
    assert scene_accuracy(nothing, nothing, extent=4.0).isnan()


# ---- rotation


@pytest.mark.parametrize(
    ("inferred", "true", "period", "expected"),
    [
        (100, 10, 90, 0),  # cube: a quarter turn is the same cube
        (50, 0, 90, 40),
        (45, 0, 90, 45),  # the most a cube can be wrong
        (-44, 0, 90, 44),
        (725, 0, 90, 5),
        (180, 0, 180, 0),
        (100, 0, 180, 80),
        (350, 10, 360, 20),  # full turn: across zero
        (180, 0, 360, 180),
        (-170, 170, 360, 20),
        (30, 0, 0, NAN),  # sphere
    ],
)
def test_rotation_error(inferred: float, true: float, period: float, expected: float) -> None:
    angles = torch.deg2rad(torch.tensor([inferred, true, period], dtype=torch.float64))
    error = rotation_error(angles[0], angles[1], angles[2])
    assert error.item() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_rotation_error_is_symmetric_periodic_and_bounded() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = 20 * torch.randn(2, 500, generator=generator)
    for period in (0.3, math.pi / 2, math.pi, 2 * math.pi):
        error = rotation_error(a, b, period)
        assert error.min() >= 0
        assert error.max() <= math.degrees(period) / 2 + 1e-5
        torch.testing.assert_close(error, rotation_error(b, a, period), atol=1e-2, rtol=0)
        torch.testing.assert_close(error, rotation_error(a + 3 * period, b, period), atol=1e-2, rtol=0)


def test_rotation_error_of_a_hair_below_zero_is_small() -> None:
    # remainder(-1e-9, period) rounds to period itself
    assert rotation_error(torch.tensor(-1e-9), torch.tensor(0.0), math.pi / 2).item() == 0.0


def test_rotation_error_broadcasts_periods() -> None:
    error = rotation_error(torch.deg2rad(torch.tensor([100.0, 100.0, 100.0])), torch.zeros(3), torch.tensor(PERIODS))
    torch.testing.assert_close(error, torch.tensor([10.0, NAN, 100.0]), equal_nan=True)


# ---- counts, medians, scenes


def test_count_confusion_has_truth_in_rows() -> None:
    confusion = count_confusion(torch.tensor([0, 2, 2, 1]), torch.tensor([0, 1, 1, 3]), slots=2, true_slots=3)
    assert confusion.tolist() == [[1, 0, 0], [0, 0, 2], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("slots", "true_slots"), [(3, 3), (2, 4), (4, 2)])
def test_count_rates_agree_with_the_counts(slots: int, true_slots: int) -> None:
    generator = torch.Generator().manual_seed(slots)
    inferred = torch.randint(0, slots + 1, (200,), generator=generator)
    true = torch.randint(0, true_slots + 1, (200,), generator=generator)
    rates = count_rates(count_confusion(inferred, true, slots, true_slots))
    assert rates.accuracy == (inferred == true).float().mean()
    assert rates.over == (inferred > true).float().mean()
    assert rates.under == (inferred < true).float().mean()


@pytest.mark.parametrize(("slots", "right"), [(3, [1, 0, NAN, 0.5]), (2, [1, 0, NAN, 0])])
def test_rates_by_count(slots: int, right: list[float]) -> None:
    """A scene of none; one of one, taken for two; none of two; and two of three, one of them taken for two."""
    confusion = count_confusion(torch.tensor([0, 2, slots, 2]), torch.tensor([0, 1, 3, 3]), slots, 3)
    rates = rates_by_count(confusion)
    assert rates["count_accuracy"].tolist() == pytest.approx(right, nan_ok=True)
    assert rates["inferred_count"].tolist() == pytest.approx([0, 2, NAN, (slots + 2) / 2], nan_ok=True)


def test_mean_by_count_and_over_all() -> None:
    metric = MeanByCount(3)
    metric.update(torch.tensor([1.0, 0.5]), torch.tensor([3, 1]))
    metric.update(torch.tensor([0.0]), torch.tensor([3]))
    assert metric.by_count().tolist() == pytest.approx([NAN, 0.5, NAN, 0.5], nan_ok=True)
    assert float(metric.compute()) == pytest.approx(0.5)
    metric.reset()
    metric.update(torch.tensor([0.25]), torch.tensor([0]))
    assert metric.by_count().tolist() == pytest.approx([0.25, NAN, NAN, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("values", "expected"), [([], NAN), ([3.0], 3.0), ([5.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 9.0], 3.0)]
)
def test_median(values: list[float], expected: float) -> None:
    assert median(torch.tensor(values)).item() == pytest.approx(expected, nan_ok=True)


def test_comparison_by_hand() -> None:
    comparison = compare_objects(INFERRED, TRUE, torch.tensor(PERIODS))
    assert comparison.count_right.tolist() == [True, False, False, True]
    assert comparison.identity is not None and comparison.rotation is not None
    assert comparison.identity.tolist() == [
        [True, True, False],
        [False] * 3,
        [True, False, False],
        [False] * 3,
    ]
    position = [[0.1, 0, NAN], [0.2, NAN, NAN], [0.3, NAN, NAN], [NAN] * 3]
    torch.testing.assert_close(comparison.position, torch.tensor(position), equal_nan=True)
    # scene 1: 45 degrees by the true cube's period, though the slot says sphere
    rotation = [[4.0, 2, NAN], [45.0, NAN, NAN], [15.0, NAN, NAN], [NAN] * 3]
    torch.testing.assert_close(comparison.rotation, torch.tensor(rotation), equal_nan=True, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("inferred", "expected"),
    [
        (one_arrow(), True),
        (one_arrow(x=0.19, degrees=-14), True),
        (one_arrow(x=0.21), False),
        (one_arrow(degrees=16), False),
        (one_arrow(identity=CUBE), False),
        (scene(), False),
        (scene((ARROW, 0, 0, 0), (ARROW, 1, 0, 0)), False),
    ],
    ids=["exact", "within", "too far", "turned", "wrong identity", "too few", "too many"],
)
def test_a_scene_is_right_when_everything_is(inferred: Objects, expected: bool) -> None:
    accuracy = scene_accuracy(inferred, one_arrow(), extent=4.0, periods=torch.tensor(PERIODS))
    assert accuracy.item() == float(expected)


def test_one_wrong_object_makes_a_scene_wrong() -> None:
    truth = scene((CUBE, 0, 0, 0), (ARROW, 1, 0, 0))
    inferred = scene((CUBE, 0, 0, 0), (ARROW, 1, 0.5, 0))
    assert scene_accuracy(inferred, truth, extent=4.0).item() == 0
    assert scene_accuracy(inferred, truth, extent=4.0, position_tolerance=0.13).item() == 1


def test_invisible_rotation_is_not_asked_for() -> None:
    comparison = compare_objects(one_arrow(SPHERE, degrees=77), one_arrow(SPHERE), torch.tensor(PERIODS))
    assert comparison.rotation is not None and comparison.rotation.isnan().all()
    assert scene_right(comparison, 0.2, 15.0).tolist() == [True]


def test_unknown_true_rotation_is_left_out() -> None:
    comparison = compare_objects(one_arrow(degrees=77), one_arrow(degrees=NAN))
    assert comparison.rotation is not None and comparison.rotation.isnan().all()
    assert scene_right(comparison, 0.2, 15.0).tolist() == [True]


def test_what_absent_slots_hold_is_not_read() -> None:
    assert INFERRED.identity is not None and INFERRED.rotation is not None
    identity, rotation = INFERRED.identity.clamp(min=0), INFERRED.rotation.nan_to_num(0.0)
    position = INFERRED.position.nan_to_num(0.0).clamp(max=10)
    zeros = INFERRED._replace(identity=identity, position=position, rotation=rotation)
    ours = compare_objects(zeros, TRUE, torch.tensor(PERIODS))
    for got, expected in zip(ours, compare_objects(INFERRED, TRUE, torch.tensor(PERIODS)), strict=True):
        torch.testing.assert_close(got, expected, equal_nan=True)


def test_half_precision_is_compared_in_single() -> None:
    inferred, truth = (o._replace(position=o.position.bfloat16()) for o in (one_arrow(x=3), one_arrow(x=0.7)))
    expected = 3 - 0.69921875  # bfloat16 next to 0.7; their difference is none
    assert compare_objects(inferred, truth).position[0, 0].item() == expected


# ---- errors, values included

GOOD = random_objects(torch.Generator().manual_seed(0), 4, 3)._replace(count=torch.tensor([3, 3, 0, 2]))


def broken(**fields: Any) -> Callable[[], object]:
    return lambda: compare_objects(GOOD._replace(**fields), GOOD, torch.tensor(PERIODS))


def broken_truth(**fields: Any) -> Callable[[], object]:
    return lambda: compare_objects(GOOD, GOOD._replace(**fields), torch.tensor(PERIODS))


def with_value(values: Tensor | None, place: tuple[int, ...], value: float) -> Tensor:
    assert values is not None
    changed = values.clone()
    changed[place] = value
    return changed


ERRORS: list[tuple[Callable[[], object], str]] = [
    (
        broken(position=GOOD.position[:, 0]),
        "inferred.position must have shape (scenes, slots, coordinates), got (4, 2): keep the axis of slots",
    ),
    (
        broken(count=GOOD.count[:, None]),
        "inferred.count must have shape (scenes,) = (4,), got (4, 1): the position beside it has shape "
        "(4, 3, 2), give one value for each of those",
    ),
    (
        broken_truth(identity=torch.zeros(4, 2, dtype=torch.long)),
        "truth.identity must have shape (scenes, slots) = (4, 3), got (4, 2): the position beside it has "
        "shape (4, 3, 2)",
    ),
    (
        broken(rotation=torch.zeros(4, 3, 1)),
        "inferred.rotation must have shape (scenes, slots) = (4, 3), got (4, 3, 1): the position",
    ),
    (
        broken(count=torch.tensor([3, 4, 0, 2])),
        "inferred.count must be in 0 .. 3, got 4 in scene 1: give more slots, or correct the count",
    ),
    (
        broken_truth(count=torch.tensor([3, 3, 0, -1])),
        "truth.count must be in 0 .. 3, got -1 in scene 3: give",
    ),
    (
        broken(count=torch.tensor([2.9, 3.0, 0.1, 2.0])),
        "inferred.count must be whole numbers (torch.long), got torch.float32: pass the mode of",
    ),
    (
        broken(position=with_value(GOOD.position, (1, 2), NAN)),
        "inferred.position must be finite for every present object, got [nan, nan] in scene 1, slot 2: look "
        "for divergence in the model",
    ),
    (
        broken(rotation=with_value(GOOD.rotation, (3, 1), math.inf)),
        "inferred.rotation must be finite for every present object, got inf in scene 3, slot 1: look for",
    ),
    (
        lambda: match_objects(GOOD, Objects(*(field[:2] for field in GOOD))),  # type: ignore[index]
        "inferred and truth must hold the same scenes, got 4 and 2 of them: pass the same batch of both",
    ),
    (
        broken_truth(position=torch.zeros(4, 3, 3)),
        "inferred.position and truth.position must have the same coordinates, got 2 and 3 of them: leave out",
    ),
    (
        broken_truth(identity=with_value(GOOD.identity, (0, 1), 5)),
        "truth.identity must be in 0 .. 2, got 5: periods has length 3, give one period for each identity",
    ),
    (
        broken_truth(identity=None),
        "truth.identity must be given to choose among 3 rotation periods, got None: give the identities",
    ),
    (
        lambda: rotation_error(torch.zeros(2), torch.zeros(2), -1.5),
        "a rotation period must be in [0, 2 pi] radians, got -1.5: 2 pi for no symmetry, 0 where rotation is "
        "invisible, math.radians(...) to convert from degrees",
    ),
    (
        lambda: count_confusion(torch.tensor([1, 2]), torch.tensor([1]), 3, 3),
        "inferred and true counts must both have shape (scenes,), got (2,) and (1,): pass one count for",
    ),
    (
        lambda: count_confusion(torch.tensor([1, 2]), torch.tensor([1, 3]), 2, 2),
        "true count must be in 0 .. 2, got 3 in scene 1: give more slots",
    ),
    (
        lambda: metrics(slots=4).update(GOOD, GOOD),
        "inferred.position must have slots = 4 slots, got 3: construct SceneMetrics with slots=3",
    ),
    (
        lambda: metrics(true_slots=2).update(GOOD, GOOD),
        "truth.position must have true_slots = 2 slots, got 3: construct SceneMetrics with true_slots=3",
    ),
    (
        lambda: metrics(periods=[90.0]),
        "a rotation period must be in [0, 2 pi] radians, got 90: 2 pi for no symmetry",
    ),
    (
        lambda: metrics(periods=[]),
        "periods must have one entry for each identity, got (): pass None for no symmetry",
    ),
    (lambda: metrics(extent=0.0), "extent must be finite and > 0, got 0.0: see SceneMetrics for its unit"),
    (lambda: metrics(rotation_tolerance=-5), "rotation_tolerance must be finite and > 0, got -5: see"),
    (lambda: metrics(position_tolerance=NAN), "position_tolerance must be finite and > 0, got nan: see"),
    (lambda: metrics(slots=0), "slots must be >= 1, got 0: a scene needs room for an object"),
    (lambda: metrics(true_slots=0), "true_slots must be >= 1, got 0: a scene needs room for an object"),
]


@pytest.mark.parametrize(("act", "text"), ERRORS, ids=[text[:45] for _, text in ERRORS])
def test_error_names_thing_value_and_remedy(act: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        act()
