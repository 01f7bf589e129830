"""The star field: installed by pip, it passes its own tests, its config trains by short names, and is measured."""

import os
import subprocess
import sys
from pathlib import Path

import packages_for_tests
import pytest

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "star_field"
SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
FEW = ["--data.batch_size", "4", "--data.train_scenes", "8", "--data.val_scenes", "4", "--data.test_scenes", "4"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages_for_tests.install(EXAMPLE, tmp_path_factory.mktemp("stars"))


def run(site: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass(site: Path) -> None:
    told = run(site, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", str(EXAMPLE))
    assert " passed" in told and "skipped" not in told


def test_its_config_trains_and_is_measured(site: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    fit = ["fit", "--config", str(EXAMPLE / "stars.yaml"), "--run_dir", folder, *SMALL, *FEW]
    run(site, "-m", "air_lightning", *fit)
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "class_path: air_stars.PointSources\n" in config and "class_path: air_stars.StarFields\n" in config
    told = run(site, str(EXAMPLE / "measure.py"), folder, "--images", "5")
    assert "expected number" in told and "true number" in told
