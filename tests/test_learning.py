"""Real trainings, shortened, that must reach a real figure in about a minute each."""

import json
from pathlib import Path

import pytest

from air_lightning.cli import main

CONFIG = Path(__file__).parent.parent / "configs" / "scene3d_single.yaml"


@pytest.mark.learning
def test_single_object_is_learnt(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    short = ["--trainer.max_steps", "800", "--trainer.enable_progress_bar", "false", "--data.batch_size", "32"]
    main(["fit", "--config", str(CONFIG), "--run_dir", run, *short])
    main(["test", "--run_dir", run, "--data.test_scenes", "500"])
    metrics = json.loads((tmp_path / "run" / "test_metrics.json").read_text())["metrics"]
    assert metrics["test/identity_accuracy"] >= 0.97
    assert metrics["test/position_error_share"] <= 0.01
    assert metrics["test/rotation_error"] <= 5


@pytest.mark.learning
def test_sprites_are_counted_and_boxed(tmp_path: Path) -> None:
    run, config = str(tmp_path / "run"), str(CONFIG.with_name("multi_sprites.yaml"))
    short = ["--trainer.max_steps", "400", "--trainer.enable_progress_bar", "false", "--data.batch_size", "32"]
    main(["fit", "--config", config, "--run_dir", run, *short])
    main(["test", "--run_dir", run, "--data.test_scenes", "500"])
    metrics = json.loads((tmp_path / "run" / "test_metrics.json").read_text())["metrics"]
    assert metrics["test/count_accuracy"] >= 0.97
    assert metrics["test/box_ap50"] >= 0.95
    assert metrics["test/foreground_ari"] >= 0.9
