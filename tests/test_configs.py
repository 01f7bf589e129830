"""Every file in configs/ runs through the real command line: tiny data, two steps, then its test or downstream task."""

import json
from pathlib import Path

import numpy as np
import pytest
import test_omniglot
import tiny_digits
from PIL import Image

from air_lightning.cli import main
from air_lightning.commands.downstream.training import Plan

FOLDER = Path(__file__).parent.parent / "configs"
DOWNSTREAM = sorted(FOLDER.rglob("downstream_*.yaml"))
SWEEPS = FOLDER / "sweeps"  # run by test_sweep
CONFIGS = sorted(path for path in {*FOLDER.rglob("*.yaml")} - {*DOWNSTREAM} if SWEEPS not in path.parents)
WITHOUT_TRUTH = ("omniglot", "image_folder", "blender_tabletop", "clevr", "clevr_2d")
SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
DATA = ["--data.batch_size", "4", "--data.train_scenes", "32", "--data.val_scenes", "4", "--data.test_scenes", "4"]
QUICK = Plan(lr=1e-3, weight_decay=0.0, passes=1.0, fewest=2, largest_batch=16)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in the place of MNIST's, Omniglot's and the user's own, for the configs that need them."""
    root = tiny_digits.write(tmp_path / "data")
    test_omniglot.write(root / "omniglot" / test_omniglot.FILE)
    monkeypatch.setenv("AIR_DATA_ROOT", str(root))
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 20, 30, 3), np.uint8)):
        Image.fromarray(pixels).save(images / f"{i}.png")


@pytest.mark.filterwarnings("ignore:what all images share is not well known")  # of images of nothing
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_and_tests(config: Path, tmp_path: Path) -> None:
    if config.stem == "scenes3d_meshes":
        pytest.importorskip("trimesh", reason="trimesh is not installed: pip install trimesh")
    if "pytorch3d" in config.stem:
        pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed")
    run = tmp_path / "run"
    main(["fit", "--config", str(config), "--run_dir", str(run), *SMALL, *DATA])
    for made in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / made).is_file(), made
    assert list((run / "figures").glob("step-*.png"))
    for made in ("training.gif", "steps.gif"):
        assert (run / "figures" / made).is_file(), made
    main(["test", "--run_dir", str(run)])
    record = json.loads((run / "test_metrics.json").read_text())
    assert record["scenes"] == 4
    truth = set() if config.stem in WITHOUT_TRUTH else {"test/count_accuracy", "test/scene_accuracy"}
    assert {"test/elbo"} | truth <= set(record["metrics"])


@pytest.mark.parametrize("config", DOWNSTREAM, ids=lambda path: path.stem)
def test_downstream_config_compares(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAIRS", "PIXELS"):
        monkeypatch.setattr(f"air_lightning.commands.downstream.study.{name}", QUICK)
    run, out = tmp_path / "run", tmp_path / "out"
    main(["fit", "--config", str(FOLDER / "multi_mnist.yaml"), "--run_dir", str(run), *SMALL, *DATA])
    small = ["--labels", "12", "24", "--test_scenes", "8"]
    main(["downstream", "--config", str(config), "--run_dir", str(run), "--out", str(out), *small])
    record = json.loads((out / f"{config.stem}.json").read_text())
    assert [r["labels"] for r in record["results"]] == [12, 24] and record["test_scenes"] == 8
    assert (out / f"{config.stem}.png").is_file()
