"""Average precision of boxes: hand-computed cases, a brute-force reference, processes, and the text of every error."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from air_lightning.metrics import BoxPrecision

EMPTY = [0.0, 0.0, 0.0, 0.0]
SQUARE = [0.0, 0.0, 10.0, 10.0]
AWAY = [20.0, 20.0, 30.0, 30.0]
UNREAD = [float("nan")] * 4  # what absent objects hold
Scene = tuple[list[tuple[list[float], float]], list[list[float]]]


def take(metric: BoxPrecision, *scenes: Scene, slots: int = 3, objects: int = 2) -> None:
    """Scenes of (box, confidence) detections and true boxes; padded with boxes that are no detection."""
    found = [[box for box, _ in seen] + [EMPTY] * (slots - len(seen)) for seen, _ in scenes]
    sure = [[confidence for _, confidence in seen] + [1.0] * (slots - len(seen)) for seen, _ in scenes]
    true = [boxes + [UNREAD] * (objects - len(boxes)) for _, boxes in scenes]
    metric.update(*(torch.tensor(rows) for rows in (found, sure, true, [len(boxes) for _, boxes in scenes])))


def measured(*scenes: Scene) -> list[float]:
    metric = BoxPrecision()
    take(metric, *scenes)
    figures = metric.compute()
    assert list(figures) == ["box_ap", "box_ap50", "box_ap75"]
    return [float(value) for value in figures.values()]


def tall(height: float) -> list[float]:
    """A box that has overlap ``height / 10`` with SQUARE."""
    return [0.0, 0.0, 10.0, height]


CASES: dict[str, tuple[list[Scene], list[float]]] = {
    "perfect": ([([(SQUARE, 0.9), (AWAY, 0.3)], [AWAY, SQUARE]), ([(AWAY, 0.5)], [AWAY])], [1, 1, 1]),
    # right at 0.5, 0.55, ... 0.75, or ... 0.7
    "overlap 0.78": ([([(tall(7.8), 0.5)], [SQUARE])], [0.6, 1, 1]),
    "overlap 0.72": ([([(tall(7.2), 0.5)], [SQUARE])], [0.5, 1, 0]),
    "overlap 0.45": ([([(tall(4.5), 0.5)], [SQUARE])], [0, 0, 0]),
    # recall 0.5 reaches 51 of the 101 recalls 0, 0.01, ... 1 that COCO averages over
    "one of two missed": ([([(SQUARE, 0.5)], [SQUARE, AWAY])], [51 / 101] * 3),
    "missed in another scene": ([([(SQUARE, 0.5)], [SQUARE]), ([], [AWAY])], [51 / 101] * 3),
    "surer of what is not there": ([([(SQUARE, 0.5)], [SQUARE]), ([(SQUARE, 0.9)], [])], [0.5] * 3),
    "less sure of what is not there": ([([(SQUARE, 0.5)], [SQUARE]), ([(SQUARE, 0.1)], [])], [1] * 3),
    "twice the same": ([([(SQUARE, 0.9), (SQUARE, 0.8)], [SQUARE])], [1] * 3),
    # right, wrong, right: precision 1 up to recall 0.5, then 2 / 3
    "a wrong one between": (
        [([(SQUARE, 0.9), (SQUARE, 0.8), (AWAY, 0.7)], [SQUARE, AWAY])],
        [(51 + 50 * 2 / 3) / 101] * 3,
    ),
    "nothing found": ([([], [SQUARE])], [0] * 3),
    "nothing shows of one": ([([(SQUARE, 0.9)], [EMPTY, SQUARE]), ([], [EMPTY])], [1] * 3),
    "flat boxes are no detections": ([([([0, 5, 10, 5], 1.0), (SQUARE, 0.1)], [SQUARE])], [1] * 3),
}


@pytest.mark.parametrize("scenes, expected", CASES.values(), ids=CASES.keys())
def test_hand_computed(scenes: list[Scene], expected: list[float]) -> None:
    assert measured(*scenes) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "scenes",
    [[([], [])], [([(SQUARE, 0.9)], []), ([], [])], [([(SQUARE, 0.9)], [EMPTY])]],
    ids=["nothing", "no truth", "nothing shows"],
)
def test_no_true_box_is_nan(scenes: list[Scene]) -> None:
    assert all(value != value for value in measured(*scenes))


def test_no_scene_is_nan() -> None:
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert all(bool(value.isnan()) for value in BoxPrecision().compute().values())


@pytest.mark.parametrize("largest", [2, 3])
def test_scenes_of_each_count_by_themselves(largest: int) -> None:
    scenes, metric = [CASES[name][0] for name in ("overlap 0.45", "one of two missed", "perfect")], BoxPrecision()
    for part in scenes:
        take(metric, *part)
    by_count = [[scene for part in scenes for scene in part if len(scene[1]) == n] for n in range(largest + 1)]
    expected = [measured(*some)[1] if some else float("nan") for some in by_count]
    assert 0 < expected[1] < 1 and 0 < expected[2] < 1
    assert metric.at_half_by_count(largest).tolist() == pytest.approx(expected, nan_ok=True)


# ---- against a reference


def overlap(a: list[float], b: list[float]) -> float:
    across, down = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(across, 0) * max(down, 0)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (whole - shared)


def reference(scenes: list[Scene], threshold: float) -> float:
    """Surest first, each detection takes the free true box that it overlaps most; 101 recalls."""
    hits: list[tuple[float, bool]] = []
    for seen, true in scenes:
        free = list(true)
        for box, confidence in sorted(seen, key=lambda row: -row[1]):
            best = max(free, key=lambda other: overlap(box, other), default=None)
            hit = best is not None and overlap(box, best) >= threshold
            if hit and best is not None:
                free.remove(best)
            hits.append((confidence, hit))
    right, curve = 0, []
    for seen_so_far, (_, hit) in enumerate(sorted(hits, key=lambda row: -row[0]), 1):
        right += hit
        curve.append((right / sum(len(true) for _, true in scenes), right / seen_so_far))
    recalls = torch.linspace(0, 1, 101, dtype=torch.float64).tolist()
    return sum(max((p for r, p in curve if r >= recall - 1e-12), default=0.0) for recall in recalls) / 101


def random_scenes(seed: int, number: int = 30) -> list[Scene]:
    """True boxes that lie apart and detections near them or anywhere, no two equally sure."""
    random = torch.Generator().manual_seed(seed)
    scenes: list[Scene] = []
    for _ in range(number):
        count = int(torch.randint(3, (), generator=random))
        true = [[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(count)]
        seen = []
        for i in range(int(torch.randint(4, (), generator=random))):
            corner = torch.tensor(true[i % count][:2] if count else [5.0, 5.0])
            start = corner + 2 * torch.randn(2, generator=random)
            side = 10 + torch.randn(2, generator=random)
            sure = float(torch.rand((), generator=random))
            seen.append((torch.cat([start, start + side]).tolist(), sure))
        scenes.append((seen, true))
    return scenes


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_agrees(seed: int) -> None:
    scenes = random_scenes(seed)
    each = [reference(scenes, 0.5 + 0.05 * i) for i in range(10)]
    assert 0.05 < each[0] < 0.95
    assert measured(*scenes) == pytest.approx([sum(each) / 10, each[0], each[5]], abs=1e-5)


def test_more_slots_than_coco_looks_at_by_default() -> None:
    metric, slots = BoxPrecision(), 150
    boxes = torch.tensor([[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(slots)])[None]
    metric.update(boxes, torch.rand(1, slots), boxes, torch.tensor([slots]))
    assert float(metric.compute()["box_ap"]) == pytest.approx(1)


# ---- as a metric


def test_batches_add_up_and_a_reset_forgets() -> None:
    scenes, metric = random_scenes(7), BoxPrecision()
    for _ in range(2):
        for part in (scenes[:4], scenes[4:5], scenes[5:]):
            take(metric, *part)
        assert [float(value) for value in metric.compute().values()] == pytest.approx(measured(*scenes))
        metric.reset()


def test_it_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    measured(*random_scenes(0))
    assert capsys.readouterr() == ("", "")


def test_it_pickles() -> None:
    metric = BoxPrecision()
    take(metric, *random_scenes(0))
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()


def process(rank: int, folder: str) -> None:
    """One of three processes: the first has two batches, the second one, the last none."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3)
    metric, scenes = BoxPrecision(), random_scenes(3)
    for part in ((scenes[:4], scenes[4:20]), (scenes[20:],), ())[rank]:
        take(metric, *part)
    metric._update_count = 1  # a process without data is what we test, not torchmetrics' warning of it
    figures = [*metric.compute().values(), *metric.at_half_by_count(2)]
    torch.save([float(value) for value in figures], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_equal_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=3)  # type: ignore[attr-defined,no-untyped-call]
    for rank in range(3):
        scenes = random_scenes(3)
        ones, twos = ([scene for scene in scenes if len(scene[1]) == n] for n in (1, 2))
        expected = [*measured(*scenes), float("nan"), measured(*ones)[1], measured(*twos)[1]]
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected, nan_ok=True)


# ---- errors


def arguments(**other: Tensor) -> dict[str, Tensor]:
    sound = {"boxes": torch.ones(2, 3, 4), "confidence": torch.ones(2, 3), "true_boxes": torch.ones(2, 1, 4)}
    return sound | {"true_count": torch.ones(2, dtype=torch.long)} | other


@pytest.mark.parametrize(
    "other, text",
    [
        ({"boxes": torch.ones(2, 4)}, "boxes must have shape (scenes, slots, 4), got (2, 4): the four are x0, y0"),
        ({"true_boxes": torch.ones(2, 1, 5)}, "true_boxes must have shape (scenes, slots, 4), got (2, 1, 5)"),
        ({"confidence": torch.ones(2, 4)}, "confidence must have shape (2, 3) to go with boxes, got (2, 4)"),
        ({"true_count": torch.ones(3)}, "true_count must have shape (2,) to go with true_boxes, got (3,)"),
        (
            {"true_boxes": torch.ones(3, 1, 4), "true_count": torch.ones(3)},
            "boxes and true_boxes must hold the same scenes, got 2 and 3 of them: pass the same batch of both",
        ),
    ],
)
def test_shapes_that_do_not_fit(other: dict[str, Tensor], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        BoxPrecision().update(**arguments(**other))


def test_slots_stay_as_many() -> None:
    metric = BoxPrecision()
    metric.update(**arguments())
    text = "slots and true objects must be as many as in earlier batches, [3, 1], got [3, 2]: pad with empty boxes"
    with pytest.raises(ValueError, match=re.escape(text)):
        metric.update(**arguments(true_boxes=torch.ones(2, 2, 4)))
