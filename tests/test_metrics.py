"""Metrics of scenes: hand-computed cases, laws against brute force, and the text of every error."""

import itertools
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from air_lightning.metrics import (
    Objects,
    SceneMetrics,
    compare_objects,
    count_confusion,
    count_rates,
    match_objects,
    median,
    rotation_error,
    scene_accuracy,
    scene_right,
)

CUBE, SPHERE, ARROW = 0, 1, 2
PERIODS = (math.pi / 2, 0.0, 2 * math.pi)
NAN = math.nan
UNREAD = 1e9  # what absent slots hold


def scene(*objects: tuple[int, float, float, float], slots: int = 3) -> Objects:
    """One scene of (kind, x, z, degrees) objects; absent slots hold rubbish."""
    rows = list(objects) + [(-7, NAN, UNREAD, NAN)] * (slots - len(objects))
    kind, x, z, degrees = zip(*rows, strict=True)
    return Objects(
        torch.tensor([len(objects)]),
        torch.tensor([kind]),
        torch.tensor([list(zip(x, z, strict=True))]),
        torch.deg2rad(torch.tensor([degrees])),
    )


def batch(*scenes: Objects) -> Objects:
    return Objects(*(torch.cat(field) for field in zip(*scenes, strict=True)))


def random_objects(generator: torch.Generator, scenes: int, slots: int, coordinates: int = 2) -> Objects:
    return Objects(
        torch.randint(0, slots + 1, (scenes,), generator=generator),
        torch.randint(0, 3, (scenes, slots), generator=generator),
        torch.randn(scenes, slots, coordinates, generator=generator),
        10 * torch.randn(scenes, slots, generator=generator),
    )


def random_batches(seed: int = 0) -> list[tuple[Objects, Objects]]:
    generator = torch.Generator().manual_seed(seed)
    return [(random_objects(generator, n, 3), random_objects(generator, n, 4)) for n in (5, 1, 8, 3)]


def metrics(**changes: Any) -> SceneMetrics:
    return SceneMetrics(**{"extent": 4.0, "periods": PERIODS, "slots": 3, **changes})


def plain(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


# By hand, on a table 4 wide (position limit 0.2): right; one too many, wrong kind; one missing, far; empty.
TRUE = batch(
    scene((CUBE, 0, 0, 10), (ARROW, 1, 1, 0)),
    scene((CUBE, -1, 0, 0)),
    scene((SPHERE, 0, 0, 0), (ARROW, 1, 0, 350)),
    scene(),
)
INFERRED = batch(
    scene((ARROW, 1.1, 1, 4), (CUBE, 0, 0, 102)),
    scene((CUBE, 1, 1, 0), (SPHERE, -1, 0.2, 45)),
    scene((ARROW, 1, 0.3, 5)),
    scene(),
)
BY_HAND = {
    "count_accuracy": 2 / 4,
    "over_count": 1 / 4,
    "under_count": 1 / 4,
    "identity_accuracy": 3 / 4,
    "position_error": 0.15,  # of 0, 0.1, 0.2, 0.3
    "position_error_share": 0.15 / 4,
    "position_error_mean": 0.15,
    "rotation_error": 4.0,  # of 2 (cube: 92 modulo 90), 4, 15; not the sphere taken for a cube
    "scene_accuracy": 2 / 4,
}


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


def one_arrow(kind: int = ARROW, x: float = 0.0, degrees: float = 0.0) -> Objects:
    return scene((kind, x, 0, degrees))


@pytest.mark.parametrize(
    ("inferred", "expected"),
    [
        (one_arrow(), True),
        (one_arrow(x=0.19, degrees=-14), True),
        (one_arrow(x=0.21), False),
        (one_arrow(degrees=16), False),
        (one_arrow(kind=CUBE), False),
        (scene(), False),
        (scene((ARROW, 0, 0, 0), (ARROW, 1, 0, 0)), False),
    ],
    ids=["exact", "within", "too far", "turned", "wrong kind", "too few", "too many"],
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


# ---- the torchmetrics class


def test_metrics_by_hand() -> None:
    metric = metrics()
    metric.update(INFERRED, TRUE)
    assert plain(metric.compute()) == pytest.approx(BY_HAND, abs=1e-4)
    assert all(value.is_floating_point() and value.ndim == 0 for value in metric.compute().values())
    assert metric.confusion().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_scene_accuracy_of_function_and_class_agree() -> None:
    inferred, truth = random_batches()[2]
    metric = metrics(true_slots=4, position_tolerance=0.5, rotation_tolerance=90.0)
    metric.update(inferred, truth)
    expected = scene_accuracy(inferred, truth, 4.0, torch.tensor(PERIODS), 0.5, 90.0)
    assert metric.compute()["scene_accuracy"] == expected


def filled(batches: list[tuple[Objects, Objects]], **changes: Any) -> SceneMetrics:
    metric = metrics(true_slots=4, **changes)
    for inferred, truth in batches:
        metric.update(inferred, truth)
    return metric


def test_batches_add_up_to_one() -> None:
    batches = random_batches()
    whole = [(batch(*(i for i, _ in batches)), batch(*(t for _, t in batches)))]
    assert plain(filled(batches).compute()) == pytest.approx(plain(filled(whole).compute()), nan_ok=True)
    assert torch.equal(filled(batches).confusion(), filled(whole).confusion())


@pytest.mark.parametrize("split", [0, 1, 2, 4])
def test_two_merged_equal_one(split: int) -> None:
    batches = random_batches()
    one, other = filled(batches[:split]), filled(batches[split:])
    one.merge_state(other)
    one._update_count = 1  # else torchmetrics warns that the first of the two was empty (split = 0)
    assert plain(one.compute()) == pytest.approx(plain(filled(batches).compute()), nan_ok=True)
    assert torch.equal(one.confusion(), filled(batches).confusion())


def test_forward_gives_the_batch_and_keeps_the_whole() -> None:
    batches = random_batches()
    metric = metrics(true_slots=4)
    of_batches = [plain(metric(*pair)) for pair in batches]
    for got, pair in zip(of_batches, batches, strict=True):
        assert got == pytest.approx(plain(filled([pair]).compute()), nan_ok=True)
    assert plain(metric.compute()) == pytest.approx(plain(filled(batches).compute()), nan_ok=True)


def test_reset_forgets() -> None:
    metric = filled(random_batches())
    metric.reset()
    inferred, truth = random_batches(seed=1)[0]
    metric.update(inferred, truth)
    expected = plain(filled([(inferred, truth)]).compute())
    assert plain(metric.compute()) == pytest.approx(expected, nan_ok=True)


def test_nothing_matched_gives_nan() -> None:
    metric = metrics()
    metric.update(batch(scene(), scene((CUBE, 0, 0, 0))), batch(scene((CUBE, 0, 0, 0)), scene()))
    got = plain(metric.compute())
    counts = {"count_accuracy": 0.0, "over_count": 0.5, "under_count": 0.5, "scene_accuracy": 0.0}
    assert got == pytest.approx({**dict.fromkeys(BY_HAND, NAN), **counts}, nan_ok=True)


def test_no_scenes_give_nan() -> None:
    metric = metrics()
    nothing = random_objects(torch.Generator(), 0, 3)
    metric.update(nothing, nothing)
    assert all(value.isnan() for value in metric.compute().values())


def test_only_invisible_rotations_give_nan() -> None:
    metric = metrics()
    metric.update(one_arrow(SPHERE, degrees=50), one_arrow(SPHERE))
    got = plain(metric.compute())
    assert math.isnan(got["rotation_error"]) and got["scene_accuracy"] == 1.0
    metric.update(one_arrow(degrees=10), one_arrow())
    assert metric.compute()["rotation_error"].item() == pytest.approx(10, abs=1e-4)


def test_without_kinds_identity_is_absent_and_not_asked_for() -> None:
    metric = metrics()
    metric.update(INFERRED._replace(identity=None), TRUE)
    got = plain(metric.compute())
    # the sphere taken for a cube counts now: 2, 4, 15, 45
    expected = {k: v for k, v in BY_HAND.items() if k != "identity_accuracy"} | {"rotation_error": 9.5}
    assert got == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("side", ["inferred", "truth", "both"])
def test_without_rotation_it_is_absent_and_not_asked_for(side: str) -> None:
    inferred = INFERRED if side == "truth" else INFERRED._replace(rotation=None)
    truth = TRUE if side == "inferred" else TRUE._replace(rotation=None)
    metric = metrics(periods=None)
    metric.update(inferred, truth)
    expected = {k: v for k, v in BY_HAND.items() if k != "rotation_error"}
    assert plain(metric.compute()) == pytest.approx(expected, abs=1e-4)


def test_one_period_serves_scenes_without_any_kinds() -> None:
    metric = metrics(periods=[math.pi])
    metric.update(one_arrow(degrees=170)._replace(identity=None), one_arrow()._replace(identity=None))
    assert metric.compute()["rotation_error"].item() == pytest.approx(10, abs=1e-4)


def test_no_periods_mean_no_symmetry() -> None:
    metric = metrics(periods=None)
    metric.update(one_arrow(CUBE, degrees=90), one_arrow(CUBE))
    assert metric.compute()["rotation_error"].item() == pytest.approx(90, abs=1e-4)


def test_holds_no_gradients() -> None:
    position = INFERRED.position.clone().requires_grad_()
    rotation = INFERRED.rotation.clone().requires_grad_()  # type: ignore[union-attr]
    metric = metrics()
    of_batch = metric(INFERRED._replace(position=position, rotation=rotation), TRUE)
    states = [*metric.metric_state.values(), *of_batch.values(), *metric.compute().values()]
    flat = [t for state in states for t in (state if isinstance(state, list) else [state])]
    assert flat and not any(t.requires_grad for t in flat)


def test_works_in_and_out_of_inference_mode() -> None:
    metric = metrics()
    with torch.inference_mode():
        metric.reset()
        metric.update(INFERRED, TRUE)
    metric.update(INFERRED, TRUE)
    assert plain(metric.compute()) == pytest.approx(BY_HAND, abs=1e-4)


def test_pickles() -> None:
    metric = filled(random_batches())
    copy = pickle.loads(pickle.dumps(metric))
    assert plain(copy.compute()) == pytest.approx(plain(metric.compute()), nan_ok=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_metrics_by_hand_on_cuda() -> None:
    metric = metrics().to("cuda")
    metric.update(Objects(*(f.cuda() for f in INFERRED)), Objects(*(f.cuda() for f in TRUE)))  # type: ignore[union-attr]
    assert plain(metric.compute()) == pytest.approx(BY_HAND, abs=1e-4)
    assert all(value.is_cuda for value in metric.compute().values())


# batches of each of two processes
SHARES = {"uneven": [[0, 2], [1, 3]], "one without data": [[0, 1, 2, 3], []]}


def process(rank: int, folder: str) -> None:
    """One of two processes: takes its share of the batches and writes what it computes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    results = {}
    for name, share in SHARES.items():
        metric = filled([random_batches()[i] for i in share[rank]])
        metric._update_count = 1  # a process without data is what we test, not torchmetrics' warning of it
        results[name] = plain(metric.compute()), metric.confusion().tolist(), int(metric.counts.sum())
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]
    whole = filled(random_batches())
    for rank in range(2):
        results = pickle.loads(Path(tmp_path, f"{rank}.pickle").read_bytes())
        for name, (got, confusion, own_scenes) in results.items():
            assert got == pytest.approx(plain(whole.compute()), nan_ok=True)
            assert confusion == whole.confusion().tolist()
            assert own_scenes == sum(len(random_batches()[i][0].count) for i in SHARES[name][rank])


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
        "truth.identity must be in 0 .. 2, got 5: periods has length 3, give one period for each kind",
    ),
    (
        broken_truth(identity=None),
        "truth.identity must be given to choose among 3 rotation periods, got None: give the kinds",
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
        "periods must have one entry for each kind, got (): pass None for no symmetry",
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


def test_a_refused_batch_leaves_no_trace() -> None:
    metric = metrics()
    metric.update(INFERRED, TRUE)
    with pytest.raises(ValueError, match=re.escape("inferred.count must be in 0 .. 3, got 9 in scene 0")):
        metric.update(INFERRED._replace(count=torch.tensor([9, 0, 0, 0])), TRUE)
    assert plain(metric.compute()) == pytest.approx(BY_HAND, abs=1e-4)
