"""Two real processes by the command line, held against one: the same scenes, steps, weights and figures.

Everything here is without noise, which would differ. Then two processes compute, up to rounding, what one does with
batches twice as large, as long as the model has no jumps: an attention map's peak, of which one may be as good as
another, is one, so the network here is recurrent.
"""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from air_lightning.cli import main

ROOT = Path(__file__).parent.parent
TINY = [
    f"--config={ROOT}/configs/multi_sprites.yaml",
    "--model.inference=air_lightning.inference.RecurrentAIR",
    "--model.inference.lstm=16", "--model.inference.encoded=16", "--model.inference.predict=16",
    "--model.inference.glimpse=8", "--model.inference.what_hidden=16",
    "--model.aggregate=air_lightning.model.AggregatePosterior",
    "--data.train_scenes=15", "--data.val_scenes=9", "--data.test_scenes=7",
    "--trainer.accelerator=cpu", "--trainer.max_epochs=9", "--trainer.max_steps=5", "--trainer.val_check_interval=4",
    "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    "--trainer.num_sanity_val_steps=0",
]  # fmt: skip
TWO = ["--data.batch_size=4", "--trainer.devices=2"]


def launch(
    command: list[str], records: Path, arguments: list[object], cwd: Path | None = None, **environment: str
) -> Any:
    """Run the command line with what `recorded_air` reads from the environment; it must not warn."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    own = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "RECORDS": str(records), "QUIET": "1"}
    given = [sys.executable, "-m", *command, *map(str, arguments)]
    own = os.environ | own | environment
    done = subprocess.run(given, cwd=cwd, env=own, capture_output=True, text=True, timeout=300)
    assert "Warning" not in done.stderr and "sync_dist" not in done.stderr, done.stderr
    return done


def two(records: Path, *arguments: object, **environment: str) -> Any:
    return launch(["recorded_air"], records, [*arguments], **environment)


def torchrun(records: Path, *arguments: object, **options: Any) -> Any:
    outside = ["torch.distributed.run", "--nproc_per_node=2", "-m", "recorded_air"]
    return launch(outside, records, [*arguments], **options)


def scenes(records: Path, split: str) -> list[list[list[int]]]:
    """Of both processes, the numbers of the scenes in each batch of a split."""
    lines = [(records / f"{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    split_off = [[line.split() for line in each if line.startswith(f"{split} ")] for each in lines]
    return [[[int(number) for number in words] for _, *words in each] for each in split_off]


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def validated(run: Path) -> list[dict[str, float]]:
    """What every validation measured; times left out."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/elbo"]]
    return [{name: float(value) for name, value in row.items() if name.startswith("val/")} for row in rows]


def close(found: dict[str, float], expected: dict[str, float]) -> bool:
    """Figures equal, but for the ELBO's rounding: a mean of numbers of some thousands, which nearly cancel."""
    kept = [name for name in expected if not name.endswith("elbo")]
    assert found.keys() == expected.keys()
    same = all(math.isclose(found[n], expected[n], rel_tol=1e-5) or math.isnan(found[n] + expected[n]) for n in kept)
    return same and all(abs(found[n] - expected[n]) < 5e-3 for n in expected if n not in kept)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process, in batches twice as large. Its epochs have 16 scenes, as two processes fill up 15."""
    run = tmp_path_factory.mktemp("one") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", torch.zeros_like)
        main(["fit", *TINY, "--data.batch_size=8", "--data.train_scenes=16", f"--run_dir={run}"])
        main(["test", f"--run_dir={run}", "--ckpt_path=last"])
    return run


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in two processes; beside it their records."""
    folder = tmp_path_factory.mktemp("both")
    done = two(folder / "records", "fit", *TINY, *TWO, f"--run_dir={folder / 'run'}", NOISE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained   5 steps") == 1
    return folder / "run"


def test_two_processes_see_the_scenes_of_one_and_none_twice(both: Path) -> None:
    first, second = scenes(both.parent / "records", "train")
    together = [sorted(a + b) for a, b in zip(first, second, strict=True)]
    assert together == [list(range(8 * step, 8 * step + 8)) for step in range(5)]
    held_out = scenes(both.parent / "records", "val")
    assert sorted(number for each in held_out for batch in each for number in batch) == sorted(2 * list(range(9)))
    assert {number for batch in held_out[0] for number in batch} == set(range(5))


def test_two_processes_learn_what_one_does(one: Path, both: Path) -> None:
    alone, together = last(one), last(both)
    assert alone["global_step"] == together["global_step"] == 5
    learning_rate = 3e-3
    for name, expected in alone["state_dict"].items():
        # Adam makes of a gradient that is nothing but rounding a step as large as any other
        assert (together["state_dict"][name] - expected).abs().max() < 0.01 * learning_rate, name
    first, second = (state["optimizer_states"][0]["state"] for state in (alone, together))
    for number, expected in first.items():
        gradient = second[number]["exp_avg"]
        assert (gradient - expected["exp_avg"]).norm() <= 1e-4 * expected["exp_avg"].norm() + 1e-9


def test_two_processes_measure_what_one_does(one: Path, both: Path) -> None:
    alone, together = validated(one), validated(both)
    assert len(alone) == len(together) == 2 and {"val/box_ap", "val/foreground_ari"} <= alone[0].keys()
    assert all(close(found, expected) for found, expected in zip(together, alone))


def test_two_processes_test_what_one_does(one: Path, tmp_path: Path) -> None:
    record = one / "test_metrics.json"
    alone = json.loads(record.read_text())
    done = two(tmp_path / "records", "test", f"--run_dir={one}", "--ckpt_path=last", *TWO)
    assert done.returncode == 0 and done.stdout.count("wrote ") == 1, done.stderr
    together = json.loads(record.read_text())
    figures = [{n: math.nan if v is None else v for n, v in r["metrics"].items()} for r in (together, alone)]
    assert close(*figures)
    assert together["scenes"] == alone["scenes"] == 7 and together["count_confusion"] == alone["count_confusion"]
    assert len(alone["by_count"]) > 1
    for row, expected in zip(together["by_count"], alone["by_count"], strict=True):
        assert close(*({n: math.nan if v is None else v for n, v in some.items()} for some in (row, expected)))
    assert scenes(tmp_path / "records", "test") == [[[0, 1, 2, 3]], [[4, 5, 6]]]


def test_two_processes_draw_different_noise_and_write_one_folder(both: Path) -> None:
    noise = [(both.parent / "records" / f"noise-{rank}.txt").read_text().split() for rank in (0, 1)]
    assert len(noise[0]) == 5 and all(a != b for a, b in zip(*noise, strict=True))
    names = sorted(path.name for path in both.iterdir() if path.name != ".lock")
    assert names == ["checkpoints", "config.yaml", "figures", "metrics.csv"]
    assert sorted(path.name for path in (both / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    with (both / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "3", "4", "5"]


def test_sigterm_to_one_ends_both_and_torchrun_goes_on_exactly(both: Path, tmp_path: Path) -> None:
    """Stopped within an epoch and by the signal to the second process alone; resumed by another launcher."""
    run, records = tmp_path / "run", tmp_path / "records"
    stopped = two(records, "fit", *TINY, *TWO, f"--run_dir={run}", SIGTERM="1 2")
    assert stopped.returncode == 143, stopped.stderr
    assert stopped.stderr.count("stopped by SIGTERM after step 3; continue with: fit --resume --run_dir") == 1
    assert last(run)["global_step"] == 3
    done = torchrun(records, "fit", "--resume", f"--run_dir={run}")
    assert done.returncode == 0, done.stderr
    expected, found = last(both), last(run)
    assert all(torch.equal(found["state_dict"][name], value) for name, value in expected["state_dict"].items())
    assert [list(row.values()) for row in validated(run)] == [
        pytest.approx(list(row.values()), rel=0, abs=0, nan_ok=True) for row in validated(both)
    ]
    assert len(found["random_state"]["processes"]) == 2


def test_what_is_not_finite_in_one_process_ends_both_with_one_message(tmp_path: Path) -> None:
    """Here started by torchrun, whose processes tell one another the name of the run folder that was not given."""
    done = torchrun(tmp_path / "records", "fit", *TINY, *TWO, cwd=tmp_path, NOT_FINITE="1 4")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: the loss of step 4 (epoch 2) is not finite in: presence. The step was not") == 1
    (run,) = (tmp_path / "runs" / "multi_sprites").iterdir()
    assert last(run)["global_step"] == 4 and (run / "metrics.csv").is_file()


def test_started_from_outside_without_a_store_a_folder_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As by SLURM: the first process would make a folder that the others cannot know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(SystemExit) as stop:
        main(["fit", *TINY, *TWO])
    assert stop.value.code == 2 and not list(tmp_path.iterdir())
    assert "several processes started from outside need --run_dir DIR, one folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "started",
    [{"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, {"SLURM_STEP_NUM_TASKS": "2"}],
    ids=["torchrun", "srun"],
)
def test_processes_that_would_each_train_alone_are_refused(
    started: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main(["fit", *TINY, f"--run_dir={tmp_path / 'run'}"])
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert "2 processes were started and the trainer has 1: give --trainer.devices" in capsys.readouterr().err


def test_fewer_scenes_than_processes_are_refused_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *TINY, *TWO, "--data.val_scenes=1", f"--run_dir={tmp_path / 'run'}"])
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert "the val split has 1 scenes, fewer than the 2 processes that share them" in capsys.readouterr().err
