"""The MuJoCo example, where MuJoCo is there: installed by pip, it passes its own tests and its config trains."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import packages_for_tests
import pytest

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "mujoco_renderer"
SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
FEW = ["--data.batch_size", "4", "--data.train_scenes", "8", "--data.val_scenes", "4", "--data.test_scenes", "4"]


PROBE = "import air_mujoco; air_mujoco.MujocoScene()"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mujoco") is None:
        pytest.skip("MuJoCo is not installed: pip install mujoco")
    folder = packages_for_tests.install(EXAMPLE, tmp_path_factory.mktemp("mujoco"))
    probe = run(folder, "-c", PROBE)
    if probe.returncode != 0 and "MuJoCo cannot draw off-screen" in probe.stderr:
        pytest.skip(probe.stderr.splitlines()[-1])
    return folder


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with OpenGL as the environment has it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_its_own_tests_pass(site: Path) -> None:
    done = run(site, "-m", "pytest", "-rs", "-W", "error", "-p", "no:cacheprovider", str(EXAMPLE))
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


def fit(site: Path, folder: Path, *configs: str) -> str:
    """Train two steps with the example's configs, one over the other; the run's own config."""
    given = [argument for name in configs for argument in ("--config", str(EXAMPLE / name))]
    done = run(site, "-m", "air_lightning", "fit", *given, "--run_dir", str(folder), *SMALL, *FEW)
    assert done.returncode == 0, done.stderr
    return (folder / "config.yaml").read_text()


def test_its_config_trains_by_the_short_name(site: Path, tmp_path: Path) -> None:
    assert "class_path: air_mujoco.MujocoScene\n" in fit(site, tmp_path / "run", "scenes.yaml")


def test_our_meshes_are_tested_on_its_scenes(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    saved = fit(site, folder, "scenes.yaml", "boxes_spheres.yaml", "meshes.yaml")
    assert "class_path: renderers.MeshRenderer\n" in saved
    drawn = ["--data.renderer", "mujoco_scene", "--data.renderer.identities", "[box,sphere]"]
    done = run(site, "-m", "air_lightning", "test", "--run_dir", str(folder), *drawn)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "test_metrics.json").read_text())
    assert record["overrides"]["data.init_args.renderer.class_path"] == "air_mujoco.MujocoScene"
