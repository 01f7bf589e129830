"""`benchmarks/time_to_accuracy.py`: when a threshold counts as reached, what ends a fit, and the table."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOUND = [(50, 4.0, 0.6), (100, 8.0, 0.96), (150, 12.0, 0.94), (200, 16.0, 0.97), (250, 20.0, 0.985), (300, 24.0, 0.99)]


@pytest.fixture
def time_to_accuracy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module("time_to_accuracy")


def test_a_threshold_is_reached_at_the_first_of_two_validations_in_a_row(time_to_accuracy: ModuleType) -> None:
    assert time_to_accuracy.first_reached(FOUND, 0.95) == (200, 16.0)  # not at 100, after which it is lost again
    assert time_to_accuracy.first_reached(FOUND, 0.98) == (250, 20.0)
    assert time_to_accuracy.first_reached(FOUND, 0.99) == (0, math.inf)  # once is not enough


def test_a_fit_ends_when_the_last_threshold_is_reached(
    time_to_accuracy: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    watch, module = time_to_accuracy.Stopwatch(0.98), SimpleNamespace()
    trainer: Any = SimpleNamespace(sanity_checking=False, should_stop=False, global_step=0, callback_metrics={})
    watch.on_train_start(trainer, module)
    stopped = []
    for step, _, accuracy in FOUND:
        trainer.global_step, trainer.callback_metrics = step, {time_to_accuracy.COUNTS: accuracy}
        watch.on_validation_start(trainer, module)
        sum(range(200_000))  # validations do not count
        watch.on_validation_end(trainer, module)
        stopped.append(trainer.should_stop)
    assert stopped == [False] * 5 + [True]
    lines = [json.loads(line.removeprefix(time_to_accuracy.MARK)) for line in capsys.readouterr().out.splitlines()]
    assert [(step, accuracy) for step, _, accuracy in lines] == [(step, accuracy) for step, _, accuracy in FOUND]
    seconds = [seconds for _, seconds, _ in lines]
    assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(watch.seconds)


def test_the_table_has_every_seed_and_the_ratio_of_medians(
    time_to_accuracy: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def validations(checkout: Path, args: Any, seed: int, folder: Path) -> Any:
        asked.append((checkout, seed, args.fit))
        slower = 1 if checkout == time_to_accuracy.HERE.parent else 3
        return [(step, slower * seconds, accuracy) for step, seconds, accuracy in FOUND]

    monkeypatch.setattr(time_to_accuracy, "validations", validations)
    file = tmp_path / "times.json"
    command = ["time_to_accuracy.py", "scenes3d", "--seeds", "1", "2", "--against", str(tmp_path), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", [*command, "--", "--model.refinement", "null"])
    time_to_accuracy.main()
    assert [(place == tmp_path, seed) for place, seed, _ in asked] == [(False, 1), (True, 1), (False, 2), (True, 2)]
    assert all(fit == ["--model.refinement", "null"] for *_, fit in asked)
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0] == "0.95: medians here 16.0 s, against 48.0 s, 3.00 times sooner"
    assert last[1] == "0.98: medians here 20.0 s, against 60.0 s, 3.00 times sooner"
    assert [row["reached"]["0.95"] for row in json.loads(file.read_text())] == [[200, 16.0], [200, 48.0]] * 2
