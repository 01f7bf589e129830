"""Weights & Biases, the real package and offline: what a run of the command line leaves in its files."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_digits
import torch
import toy

ROOT = Path(__file__).parent.parent
SMALL = [
    "--config", f"{ROOT}/configs/multi_sprites.yaml", "--trainer.val_check_interval=2", "--data.batch_size=4",
    "--trainer.enable_progress_bar=false", "--data.val_scenes=4", "--trainer.log_every_n_steps=1",
]  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the user's account, and no server that could be reached."""
    pytest.importorskip("wandb", reason="records with wandb")
    own = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    return own | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONSOLE": "off",
    }


def fit(environment: dict[str, str], *arguments: object) -> str:
    """Run `fit --wandb` to its end; what it said."""
    command = [sys.executable, "-m", "air_lightning", "fit", "--wandb", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def chunks(content: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it, after a header of 7 bytes: blocks of parts, 7 bytes before each."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        if (rest := 32768 - place % 32768) < 7:
            place += rest
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if place + 7 + length > len(content):
            return  # what a kill has cut short
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # full, last
            yield whole
            whole = b""


def records(folder: Path) -> Iterator[Any]:
    """Everything in the file of a W&B run."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    yield from map(Record.FromString, chunks(file.read_bytes()))


def entries(items: Any) -> dict[str, Any]:
    """Names and values of W&B's updates."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline_runs(run: Path) -> list[Path]:
    return sorted((run / "wandb").glob("offline-run-*"))


def test_offline_run_holds_curves_images_and_config_and_resumes(tmp_path: Path, environment: dict[str, str]) -> None:
    run, offline = tmp_path / "run", environment | {"WANDB_MODE": "offline"}
    fit(offline, *SMALL, "--run_dir", run, "--trainer.max_steps=2")
    (folder,) = offline_runs(run)
    found = list(records(folder))
    rows = [entries(r.history.item) for r in found if r.HasField("history")]
    logged = {name: value for row in rows for name, value in row.items()}
    assert {"train/loss", "train/elbo", "val/elbo", "val/count_accuracy", "schedule/likelihood_sd"} <= set(logged)
    assert any("lr" in name for name in logged) and any("per_second" in name for name in logged), sorted(logged)
    assert (logged["scenes/boxes._type"], logged["scenes/boxes.count"]) == ("images/separated", 4)
    assert all("truth" in layers for layers in logged["scenes/boxes.all_boxes"])  # every scene here holds objects
    assert logged["scenes/attention.count"] >= 1 and "count_confusion_table.path" in logged
    assert len(list((folder / "files" / "media" / "images" / "scenes").glob("boxes_*.png"))) == 4
    config = {k: v for r in found if r.HasField("config") for k, v in entries(r.config.update).items()}
    assert config["run_dir"] == str(run) and config["trainer"]["max_steps"] == 2
    assert config["model"]["renderer"]["class_path"] == "renderers.GlimpseRenderer"
    summary = {k: v for r in found if r.HasField("summary") for k, v in entries(r.summary.update).items()}
    assert summary["best/step"] == 2 and "best/val/elbo" in summary
    fit(offline, "--resume", "--run_dir", run, "--trainer.max_steps=4")
    first, second = offline_runs(run)
    identity = (run / "wandb_id").read_text().strip()
    assert first.name.endswith(identity) and second.name.endswith(identity)
    later = [entries(r.history.item) for r in records(second) if r.HasField("history")]
    assert min(row["trainer/global_step"] for row in later) >= 2
    assert [row["_step"] for row in (*rows, *later)] == list(range(len(rows) + len(later)))


def settings_2d(tmp_path: Path) -> list[object]:
    digits = tiny_digits.write(tmp_path / "digits")
    return ["--config", f"{ROOT}/configs/multi_mnist.yaml", "--data.root", digits]


def settings_3d(tmp_path: Path) -> list[object]:
    return ["--config", f"{ROOT}/configs/scenes3d.yaml", "--model.renderer.image_size=[32,32]"]


@pytest.mark.parametrize("settings", [settings_2d, settings_3d], ids=["2D", "3D"])
def test_a_killed_run_goes_on_as_the_same_run(
    tmp_path: Path, environment: dict[str, str], settings: Callable[[Path], list[object]]
) -> None:
    """Killed as by a lack of memory, without a chance to say anything, some steps after its checkpoint."""
    run, offline = tmp_path / "run", environment | {"WANDB_MODE": "offline"}
    small = ["--trainer.val_check_interval=20", "--trainer.log_every_n_steps=1", "--data.batch_size=2"]
    small += ["--data.counts=[1,2]"]
    small += ["--data.val_scenes=4", "--trainer.enable_progress_bar=false", "--figures.every_minutes=0"]
    begun = [*settings(tmp_path), *small, "--trainer.max_steps=100000", "--run_dir", run]
    kill_after_a_checkpoint(offline, run, *begun)
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    fit(offline, "--resume", "--run_dir", run, f"--trainer.max_steps={step + 3}")
    first, second = (list(records(folder)) for folder in offline_runs(run))
    identity = (run / "wandb_id").read_text().strip()
    assert {r.run.run_id for r in (*first, *second) if r.HasField("run")} == {identity}
    assert [r.exit.exit_code for r in (*first, *second) if r.HasField("exit")] == [0]  # of the second part alone
    before, after = ([entries(r.history.item) for r in part if r.HasField("history")] for part in (first, second))
    assert max(row["trainer/global_step"] for row in before) >= step - 1 > 0  # a step is logged under the one before it
    assert min(row["trainer/global_step"] for row in after) == step
    assert max(row["trainer/global_step"] for row in after) == step + 3
    steps = [row["_step"] for row in (*before, *after)]
    assert steps == sorted(set(steps))  # each of them once; those of rows that W&B has not written are left out
    for part in (before, after):
        logged = {name: value for row in part for name, value in row.items()}
        assert {"train/loss", "val/elbo", "lr/model", "speed/steps_per_second"} <= set(logged)
        assert logged["scenes/boxes.count"] == 2  # scenes of a batch, every one with objects
        assert all("truth" in layers for layers in logged["scenes/boxes.all_boxes"])
    for part in (first, second):
        config = {k: v for r in part if r.HasField("config") for k, v in entries(r.config.update).items()}
        assert config["run_dir"] == str(run) and config["data"]["init_args"]["val_scenes"] == 4
        summary = {k: v for r in part if r.HasField("summary") for k, v in entries(r.summary.update).items()}
        assert "best/val/elbo" in summary and summary["best/step"] >= 20


def kill_after_a_checkpoint(environment: dict[str, str], run: Path, *arguments: object) -> None:
    """Start `fit --wandb`, and kill it once W&B's file has all that `last.ckpt` holds, and the best figures."""
    command = [sys.executable, "-m", "air_lightning", "fit", "--wandb", *map(str, arguments)]
    given = environment | {"WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "1"}
    with subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(process, lambda: "best/step" in written(run, "summary", "update"))
        process.send_signal(signal.SIGSTOP)  # W&B's own process, which writes its file every other second, goes on
        step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        wait_until(process, lambda: written(run, "history", "item").get("trainer/global_step", 0) >= step - 1)
        process.kill()


def written(run: Path, kind: str, part: str) -> dict[str, Any]:
    """What W&B's file of a run that goes on has last of everything of this kind."""
    found = [r for file in run.glob("wandb/offline-run-*/*.wandb") for r in records(file.parent) if r.HasField(kind)]
    return {name: value for r in found for name, value in entries(getattr(getattr(r, kind), part)).items()}


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.2)


@pytest.mark.parametrize("key", ["", "0" * 40], ids=["not logged in", "server unreachable"])
def test_without_a_server_a_run_warns_once_and_goes_on_offline(
    tmp_path: Path, environment: dict[str, str], key: str
) -> None:
    given = environment | ({"WANDB_API_KEY": key} if key else {})
    said = fit(given | {"WANDB_INIT_TIMEOUT": "5"}, *SMALL, "--run_dir", tmp_path / "run", "--trainer.max_steps=2")
    assert len(re.findall("W&B records offline, for its server cannot be used", said)) == 1, said
    assert len(offline_runs(tmp_path / "run")) == 1 and (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_switch_without_loggers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", tmp_path / "run", "--wandb", "--trainer.logger", "false")
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert "--wandb needs loggers, and --trainer.logger false switches them off" in capsys.readouterr().err


def test_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("air_lightning.training.wandb.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", tmp_path / "run", "--wandb")
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert "pip install 'air-lightning[wandb]'" in capsys.readouterr().err
