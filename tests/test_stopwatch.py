"""The stopwatch: training seconds in the metrics file, validations left out, going on after a resume."""

import csv
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy

from air_lightning.runs.curves import SECONDS
from air_lightning.training.callbacks.stopwatch import Stopwatch


def logged(folder: Path) -> list[tuple[bool, float]]:
    """(is it a validation's row, seconds), in order."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [(bool(row["val/scene_accuracy"]), float(row[SECONDS])) for row in csv.DictReader(file) if row[SECONDS]]


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
    logged: dict[str, float] = {}
    state = SimpleNamespace(fn="fit")
    fit = SimpleNamespace(state=state, sanity_checking=False, global_step=0, log_every_n_steps=10, world_size=2)
    fit.should_stop = True  # then every step is logged
    module = SimpleNamespace(log_dict=logged.update, device=torch.device("cpu"))
    watch, batch = Stopwatch(), torch.zeros(6, 1)
    watch.on_train_start(fit, module)
    now[0], fit.global_step = 3.0, 1
    watch.on_train_batch_end(fit, module, None, batch, 0)
    assert logged == {SECONDS: 3.0, "speed/steps_per_second": 1 / 3, "speed/images_per_second": 2 * 6 / 3}
    now[0] = 4.0  # between the step and the validation
    watch.on_validation_start(fit, module)
    now[0] = 50.0
    watch.on_validation_end(fit, module)
    now[0], fit.global_step = 51.0, 2
    watch.on_train_batch_end(fit, module, None, batch, 1)
    assert watch.seconds == logged[SECONDS] == 5.0
    assert (logged["speed/steps_per_second"], logged["speed/images_per_second"]) == (2 / 5, 2 * 2 * 6 / 5)
    other = Stopwatch()
    other.load_state_dict(watch.state_dict())
    assert other.seconds == 5.0
