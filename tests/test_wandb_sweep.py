"""`wandb agent`, the real one, runs a sweep of configs/sweeps against a server on loopback."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_digits
import yaml
from wandb_server import ENTITY, PROJECT, SWEEP, SweepServer, serve

ROOT = Path(__file__).parent.parent
SMALL = [
    "--trainer.max_steps=2", "--trainer.val_check_interval=1", "--trainer.enable_progress_bar=false",
    "--data.batch_size=4", "--data.train_scenes=16", "--data.val_scenes=4", "--figures.every_minutes=0",
]  # fmt: skip
FILE = ROOT / "configs" / "sweeps" / "multi_mnist.yaml"
RUNS = [
    {"model.lr": 0.001, "model.count.power": 0.05, "model.inference.signed": False, "seed_everything": 2},
    {"model.lr": 3e-05, "model.count.power": 0.2, "model.inference.signed": True, "seed_everything": 1},
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of the agent: nothing of the user's account, and the tests' own interpreter as `python`."""
    pytest.importorskip("wandb", reason="W&B's agent comes with wandb")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HOME": str(tmp_path),
        "WANDB_API_KEY": "0" * 40,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONSOLE": "off",
        "AIR_DATA_ROOT": str(tiny_digits.write(tmp_path / "data")),
    }


def small(file: Path) -> dict:
    """The sweep of a file, with a few arguments more: tiny data, two steps, and runs that send nothing."""
    sweep = yaml.safe_load(file.read_text())
    command = [word.replace("=configs/", f"={ROOT}/configs/") for word in sweep["command"]]
    assert command[0] == "${env}" and command[-1] == "${args}"
    return sweep | {"command": [command[0], "WANDB_MODE=offline", *command[1:-1], *SMALL, command[-1]]}


def test_agent_runs_two_fits_with_the_parameters_it_is_given(tmp_path: Path, environment: dict[str, str]) -> None:
    sweep = small(FILE)
    server = SweepServer(yaml.safe_dump(sweep), sweep["program"], RUNS)
    with serve(server) as address:
        done = subprocess.run(
            ["wandb", "agent", f"{ENTITY}/{PROJECT}/{SWEEP}"], env=environment | {"WANDB_BASE_URL": address},
            cwd=tmp_path, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (server.over, server.unknown) == (["run1", "run2"], []), done.stderr
    folders = sorted((tmp_path / "runs" / "multi_mnist").iterdir())
    assert len(folders) == 2
    for folder, values in zip(folders, RUNS):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        model = config["model"]
        assert values == {
            "model.lr": model["lr"],
            "model.count.power": model["count"]["init_args"]["power"],
            "model.inference.signed": model["inference"]["init_args"]["signed"],
            "seed_everything": config["seed_everything"],
        }
        with (folder / "metrics.csv").open(newline="") as file:
            logged = [row[sweep["metric"]["name"]] for row in csv.DictReader(file)]
        assert len([value for value in logged if value]) == 2  # the metric that is optimised, at every validation
        assert (folder / "checkpoints" / "best.ckpt").is_file()
    # what W&B gets is each run's own
    assert sorted(path.name[-4:] for path in tmp_path.rglob("offline-run-*-run?")) == ["run1", "run2"]
