"""The template package and the guide that shows it: installed by pip, listed, checked and trained by its short name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import packages_for_tests
import pytest
import yaml

from air_lightning.cli import main

TEMPLATE = Path(__file__).parent / "template_plugin"
GUIDE = Path(__file__).parent.parent / "docs" / "renderers.md"
SMALL = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "4", "--trainer.enable_progress_bar", "false"]
FEW = ["--data.batch_size", "4", "--data.train_scenes", "16", "--data.val_scenes", "4", "--data.test_scenes", "8"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages_for_tests.install(TEMPLATE, tmp_path_factory.mktemp("template"))


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(site))
    return site


def blocks(language: str) -> list[str]:
    """The guide's pieces of code."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_the_guide_shows_the_template() -> None:
    source = (TEMPLATE / "air_rings.py").read_text()
    assert blocks("python")[0] == source
    assert len(source.splitlines()) < 40


def test_it_is_listed_by_a_fresh_process(site: Path) -> None:
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    command = [sys.executable, "-m", "air_lightning", "plugins"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "  rings  air_rings.Rings  (air-rings 0.1.0)\n      what: thin, thick\n" in done.stdout
    assert "warning" not in done.stderr


def test_it_is_checked_by_its_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--renderer", "rings", "--renderer.size", "24"])
    assert "Rings keeps 19 laws and breaks 0" in capsys.readouterr().out


def test_its_config_trains_and_tests(installed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["fit", "--config", str(TEMPLATE / "rings.yaml"), "--run_dir", str(run), *SMALL, *FEW])
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["renderer"] == {"class_path": "air_rings.Rings", "init_args": {"size": 32}}
    main(["test", "--run_dir", str(run)])
    record = json.loads((run / "test_metrics.json").read_text())
    assert record["scenes"] == 8 and {"test/count_accuracy", "test/identity_accuracy"} <= set(record["metrics"])


@pytest.fixture
def guide(installed: Path, tmp_path: Path) -> Path:
    """The guide's config, with the template's renderer in the place of the reader's."""
    (text,) = blocks("yaml")
    path = tmp_path / "my.yaml"
    path.write_text(text.replace("my_package.Rings", "rings"))
    return path


def test_the_guides_config_trains_and_predicts(guide: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["fit", "--config", str(guide), "--run_dir", str(run), *SMALL, *FEW])
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((5, 32, 32, 3), np.float32))
    seen = tmp_path / "seen"
    main(["predict", "--run_dir", str(run), "--input", str(tmp_path / "images.npy"), "--output", str(seen)])
    lines = [json.loads(line) for line in (seen / "predictions.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3, 4]
    assert all(len(line["count_probabilities"]) == 3 and len(line["objects"]) == line["count"] for line in lines)
    assert all(found["kind"] in ("thin", "thick") for line in lines for found in line["objects"])


def test_the_guides_config_takes_the_users_images(guide: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "all.npy", np.random.default_rng(0).random((20, 32, 32, 3), np.float32))
    mine = [
        "--data",
        "ImageFolder",
        "--data.folder",
        str(tmp_path / "images"),
        "--data.color",
        "true",
        "--checkpoint.monitor",
        "val/elbo",
    ]
    run = tmp_path / "run"
    main(["fit", "--config", str(guide), "--run_dir", str(run), *mine, *SMALL, "--data.batch_size", "4"])
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["class_path"] == "datamodules.ImageFolder"
