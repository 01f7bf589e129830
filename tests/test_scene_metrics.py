"""SceneMetrics: figures computed by hand, one batch or several, one process or two, and what is left out."""

import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from objects_for_tests import (
    CUBE,
    INFERRED,
    NAN,
    PERIODS,
    SPHERE,
    TRUE,
    batch,
    metrics,
    one_arrow,
    random_objects,
    scene,
)
from torch import Tensor

from air_lightning.metrics import Objects, SceneMetrics, scene_accuracy


def random_batches(seed: int = 0) -> list[tuple[Objects, Objects]]:
    generator = torch.Generator().manual_seed(seed)
    return [(random_objects(generator, n, 3), random_objects(generator, n, 4)) for n in (5, 1, 8, 3)]


def plain(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


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


def test_without_identities_identity_is_absent_and_not_asked_for() -> None:
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


def test_one_period_serves_scenes_without_any_identities() -> None:
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


def test_a_refused_batch_leaves_no_trace() -> None:
    metric = metrics()
    metric.update(INFERRED, TRUE)
    with pytest.raises(ValueError, match=re.escape("inferred.count must be in 0 .. 3, got 9 in scene 0")):
        metric.update(INFERRED._replace(count=torch.tensor([9, 0, 0, 0])), TRUE)
    assert plain(metric.compute()) == pytest.approx(BY_HAND, abs=1e-4)
