"""Every file in configs/ runs through the real command line: tiny data, two steps, then its test."""

import json
from pathlib import Path

import pytest

from air_lightning.cli import main

CONFIGS = sorted((Path(__file__).parent.parent / "configs").rglob("*.yaml"))
SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
DATA = ["--data.batch_size", "4", "--data.train_scenes", "16", "--data.val_scenes", "4", "--data.test_scenes", "4"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_and_tests(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["fit", "--config", str(config), "--run_dir", str(run), *SMALL, *DATA])
    for made in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / made).is_file(), made
    assert list((run / "figures").glob("step-*.png"))
    main(["test", "--run_dir", str(run)])
    record = json.loads((run / "test_metrics.json").read_text())
    assert record["scenes"] == 4
    assert {"test/count_accuracy", "test/elbo", "test/scene_accuracy"} <= set(record["metrics"])
