"""A renderer of the user's own: chosen by class_path alone, it trains, tests, and learns."""

import json
from pathlib import Path

import pytest
import yaml
from disc_plugin import Discs

from air_lightning.cli import main
from air_lightning.testing import check_renderer

MODEL = {
    "renderer": {"class_path": "disc_plugin.Discs"},
    "inference": {"class_path": "air_lightning.inference.ResidualAttention"},
    "slots": 2,
    "count": {"class_path": "air_lightning.estimators.PosteriorCount", "init_args": {"warmup": 150}},
    "likelihood_sd": {
        "class_path": "air_lightning.schedules.Geometric",
        "init_args": {"start": 1.0, "end": 0.2, "steps": 250},
    },
    "coarseness": {
        "class_path": "air_lightning.schedules.Linear",
        "init_args": {"start": 3.0, "end": 1.0, "steps": 250},
    },
}
DATA = {
    "class_path": "datamodules.Scenes3D",
    "init_args": {
        "counts": [0, 1, 2],
        "apart": 0.5,
        "batch_size": 32,
        "train_scenes": 3200,
        "val_scenes": 64,
        "test_scenes": 256,
    },
}


def test_plugin_is_short() -> None:
    source = Path(__file__).parent / "disc_plugin.py"
    assert len(source.read_text().splitlines()) < 40


def test_plugin_claims_what_it_does() -> None:
    report = check_renderer(Discs)
    assert "contract" in report.kept
    assert Discs().where.names == ("x", "y")


@pytest.mark.learning
def test_plugin_learns_through_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "discs.yaml"
    trainer = {"max_steps": 600, "gradient_clip_val": 10.0, "enable_progress_bar": False}
    config.write_text(yaml.safe_dump({"trainer": trainer, "model": MODEL, "data": DATA}))
    run = str(tmp_path / "run")
    main(["fit", "--config", str(config), "--run_dir", run])
    main(["test", "--run_dir", run])
    metrics = json.loads((tmp_path / "run" / "test_metrics.json").read_text())["metrics"]
    assert metrics["test/count_accuracy"] >= 0.9
    assert metrics["test/identity_accuracy"] >= 0.95
    assert metrics["test/position_error"] <= 0.1
