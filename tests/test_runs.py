"""Run folders: names, refusals, locks, files."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from air_lightning import runs
from air_lightning.runs import MetricsFile, RunError, RunFolder, differences
from air_lightning.runs.layout import config_at

ROOT = Path(__file__).parent.parent


def test_default_folder_has_name_and_time():
    folder = runs.default_folder("scenes3d", now=datetime(2025, 3, 4, 5, 6, 7))
    assert folder == Path("runs/scenes3d/2025-03-04_05-06-07")


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "checkpoints"])
def test_folder_with_any_part_of_a_run_holds_one(tmp_path, name):
    assert not runs.holds_run(tmp_path)
    (tmp_path / name).mkdir()
    assert runs.holds_run(tmp_path)


def test_config_of_missing_folder_names_it_and_the_remedy(tmp_path):
    with pytest.raises(RunError, match=r"run_dir '.*nowhere' does not exist: give the folder that `fit --run_dir DIR`"):
        runs.config_of(tmp_path / "nowhere")
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(
        RunError, match=r"run_dir '.*best.ckpt' is a file: give the folder that `fit --run_dir DIR` wrote"
    ):
        runs.config_of(tmp_path / "best.ckpt")
    with pytest.raises(RunError, match=r"holds no run, for it has no config.yaml: give the folder"):
        runs.config_of(tmp_path)


def test_checkpoint_of_missing_file_lists_those_there(tmp_path):
    with pytest.raises(RunError, match=r"has no checkpoints/last.ckpt: nothing was saved there: run `fit` again"):
        runs.checkpoint_of(tmp_path, "last")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert runs.checkpoint_of(tmp_path, "last") == tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(RunError, match=r"no checkpoints/best.ckpt: give one of \['last.ckpt'\] as --ckpt_path"):
        runs.checkpoint_of(tmp_path, "best")


def test_new_makes_the_folder_and_close_gives_the_lock_back(tmp_path):
    path = tmp_path / "a" / "b"
    RunFolder.new(path).close()
    assert path.is_dir()
    RunFolder.new(path).close()


def test_new_refuses_a_run_and_writes_nothing(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(RunError, match=r"no checkpoint was saved, so there is nothing to continue: remove the folder"):
        RunFolder.new(tmp_path)
    assert os.listdir(tmp_path) == ["config.yaml"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(RunError, match=r"already holds a run: continue it with --resume, or give another --run_dir"):
        RunFolder.new(tmp_path)


def test_folder_in_use_is_refused(tmp_path):
    folder = RunFolder.new(tmp_path)
    with pytest.raises(RunError, match=r"is in use by another fit, which holds .lock there: wait for it, or give"):
        RunFolder.new(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(RunError, match="is in use"):
        RunFolder.existing(tmp_path)
    folder.close()
    RunFolder.existing(tmp_path).close()


def test_lock_of_a_dead_process_does_not_block(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from air_lightning.runs import RunFolder\n"
        "folder = RunFolder.new(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="is in use"):
            RunFolder.new(tmp_path)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".lock").exists()
    RunFolder.new(tmp_path).close()


def test_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=r"cannot be a folder, a file is in its way: name another"):
            RunFolder.new(path)


def test_runs_of_one_second_get_numbers(tmp_path):
    folders = [RunFolder.new_default(tmp_path / "runs" / "now") for _ in range(3)]
    assert [folder.path.name for folder in folders] == ["now", "now-2", "now-3"]
    for folder in folders:
        folder.close()


def test_discard_removes_what_was_made_and_no_more(tmp_path):
    RunFolder.new(tmp_path / "a" / "b").discard()
    assert os.listdir(tmp_path) == []
    RunFolder.new_default(tmp_path / "a" / "b").discard()
    assert os.listdir(tmp_path) == []
    folder = RunFolder.new(tmp_path / "a" / "b")
    (tmp_path / "a" / "mine").touch()
    folder.discard()
    assert os.listdir(tmp_path / "a") == ["mine"]
    RunFolder.new(tmp_path / "a").discard()
    assert os.listdir(tmp_path / "a") == ["mine"]


def test_replaced_config_is_kept_with_the_step_up_to_which_it_held(tmp_path):
    folder = RunFolder.new(tmp_path)
    folder.write_config("lr: 1\n")
    folder.write_config("lr: 1\n", step=5)
    assert sorted(path.name for path in tmp_path.glob("*.yaml")) == ["config.yaml"]
    folder.write_config("lr: 2\n", step=7)
    assert (tmp_path / "config.yaml").read_text() == "lr: 2\n"
    assert (tmp_path / "config.until-step-000007.yaml").read_text() == "lr: 1\n"
    folder.write_config("lr: 3\n", step=7)  # the second trained nothing, or from there on
    folder.write_config("lr: 4\n", step=1234567)
    in_force = {0: "lr: 1\n", 7: "lr: 1\n", 8: "lr: 3\n", 1234567: "lr: 3\n", 1234568: "lr: 4\n"}
    assert {step: config_at(tmp_path, step).read_text() for step in in_force} == in_force
    assert {path.read_text() for path in tmp_path.glob("config.*")} == {f"lr: {n}\n" for n in range(1, 5)}
    folder.close()


def test_json_has_null_for_what_is_not_finite(tmp_path):
    runs.write_json(tmp_path / "m.json", {"a": math.nan, "b": [1.5, math.inf], "c": {"d": None}, "e": Path("f")})
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": None},
        "e": "f",
    }
    assert os.listdir(tmp_path) == ["m.json"]


def test_differences_are_of_values_not_of_depth():
    old = {"data": {"noise": 0.0, "seed": 1}, "lr": 1, "names": ["a"], "empty": {}}
    assert differences(old, old) == {}
    new = {"data": {"noise": 0.1, "seed": 1}, "lr": 1, "names": ["b"], "empty": {}, "added": None}
    assert differences(old, new) == {"data.noise": 0.1, "names": ["b"], "added": None}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_half_a_row_of_a_killed_run_is_cut_off(tmp_path):
    first = MetricsFile(tmp_path)
    first.log_metrics({"loss": 1.0}, step=0)
    first.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("0.51")
    again = MetricsFile(tmp_path)
    again.log_metrics({"loss": 0.5}, step=1)
    again.save()
    assert [row["loss"] for row in rows(tmp_path / "metrics.csv")] == ["1.0", "0.5"]
    (tmp_path / "metrics.csv").write_text("lo")  # not even the head
    third = MetricsFile(tmp_path)
    third.log_metrics({"loss": 0.25}, step=2)
    third.save()
    assert rows(tmp_path / "metrics.csv") == [{"loss": "0.25", "step": "2"}]


def test_metrics_file_is_in_the_folder_and_appended_to(tmp_path):
    first = MetricsFile(tmp_path)
    first.log_metrics({"loss": 1.0}, step=0)
    first.log_hyperparams({"lr": 1})
    first.save()
    assert os.listdir(tmp_path) == ["metrics.csv"]
    again = MetricsFile(tmp_path)
    again.log_metrics({"loss": 0.5, "accuracy": 0.25}, step=1)
    again.save()
    assert rows(tmp_path / "metrics.csv") == [
        {"accuracy": "", "loss": "1.0", "step": "0"},
        {"accuracy": "0.25", "loss": "0.5", "step": "1"},
    ]
