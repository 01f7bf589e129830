"""The template package, built and installed by pip, without a network: listed, checked, trained, by its short name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from air_lightning.cli import main

TEMPLATE = Path(__file__).parent / "template_plugin"
SMALL = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "4", "--trainer.enable_progress_bar", "false"]
FEW = ["--data.batch_size", "4", "--data.train_scenes", "16", "--data.val_scenes", "4", "--data.test_scenes", "8"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it."""
    pytest.importorskip("pip", reason="the template package is installed with pip, which this environment lacks")
    folder = tmp_path_factory.mktemp("template")
    shutil.copytree(TEMPLATE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))  # pip writes there
    quiet = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(site))
    return site


def test_the_template_is_short() -> None:
    assert len((TEMPLATE / "air_rings.py").read_text().splitlines()) < 40


def test_it_is_listed_by_a_fresh_process(site: Path) -> None:
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    command = [sys.executable, "-m", "air_lightning", "plugins"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "  rings  air_rings.Rings  (air-rings 0.1.0)\n      what: thin, thick\n" in done.stdout
    assert "warning" not in done.stderr


def test_it_is_checked_by_its_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--renderer", "rings", "--renderer.size", "24"])
    assert "Rings keeps 18 laws and breaks 0" in capsys.readouterr().out


def test_its_config_trains_tests_and_predicts(installed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["fit", "--config", str(TEMPLATE / "rings.yaml"), "--run_dir", str(run), *SMALL, *FEW])
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["renderer"] == {"class_path": "air_rings.Rings", "init_args": {"size": 32}}
    main(["test", "--run_dir", str(run)])
    record = json.loads((run / "test_metrics.json").read_text())
    assert record["scenes"] == 8 and {"test/count_accuracy", "test/identity_accuracy"} <= set(record["metrics"])
    main(["predict", "--run_dir", str(run)])
    assert (run / "predictions.pt").is_file()
