"""The stopwatch: training seconds in the metrics file, validations left out, going on after a resume."""

import csv
import time
from pathlib import Path

import pytest
import toy

from air_lightning.callbacks.stopwatch import NAME, Stopwatch


def logged(folder: Path) -> list[tuple[bool, float]]:
    """(is it a validation's row, seconds), in order."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [(bool(row["val/scene_accuracy"]), float(row[NAME])) for row in csv.DictReader(file) if row[NAME]]


def test_every_validation_says_how_long_training_took(tmp_path: Path) -> None:
    toy.fit("--run_dir", tmp_path / "run")
    rows = logged(tmp_path / "run")
    assert [seconds for validated, seconds in rows if validated]
    seconds = [seconds for _, seconds in rows]
    assert seconds == sorted(seconds) and seconds[-1] > 0


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    toy.fit("--run_dir", tmp_path / "run", "--trainer.max_epochs", 1)
    before = logged(tmp_path / "run")[-1][1]
    toy.run("fit", "--resume", "--run_dir", tmp_path / "run", "--trainer.max_epochs", 2)
    assert logged(tmp_path / "run")[-1][1] > before


def test_validations_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch, fit = Stopwatch(), type("Trainer", (), {"state": type("S", (), {"fn": "fit"}), "sanity_checking": False})()
    module = type("Module", (), {"log": lambda *_: None})()
    watch.on_train_start(fit, module)
    now[0] = 3.0
    watch.on_train_batch_end(fit, module)
    now[0] = 4.0  # between the step and the validation
    watch.on_validation_start(fit, module)
    now[0] = 50.0
    watch.on_validation_end(fit, module)
    now[0] = 51.0
    watch.on_train_batch_end(fit, module)
    assert watch.seconds == 5.0
    other = Stopwatch()
    other.load_state_dict(watch.state_dict())
    assert other.seconds == 5.0
